#!/usr/bin/with-contenv bash
echo b
