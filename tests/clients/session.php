<?php
// XML-RPC as PHP's front-ends speak it: plain HTTP, with the parameters and answers that their libraries write and read.
function value($value): string {
    if (is_bool($value)) return '<value><boolean>' . ($value ? 1 : 0) . '</boolean></value>';
    if (is_int($value)) return "<value><int>$value</int></value>";
    return '<value><string>' . htmlspecialchars($value, ENT_XML1) . '</string></value>';
}

function read_value(SimpleXMLElement $value) {
    foreach ($value->children() as $type => $inner) {
        switch ($type) {
            case 'int': case 'i4': return (int) $inner;
            case 'boolean': return (string) $inner === '1';
            case 'array':
                $all = [];
                foreach ($inner->data->value as $element) $all[] = read_value($element);
                return $all;
            case 'struct':
                $all = [];
                foreach ($inner->member as $member) $all[(string) $member->name] = read_value($member->value);
                return $all;
            default: return (string) $inner;
        }
    }
    return (string) $value;
}

function call(string $method, ...$arguments) {
    global $argv;
    $params = implode('', array_map(fn ($one) => '<param>' . value($one) . '</param>', $arguments));
    $body = "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>\n<methodCall>\n<methodName>$method</methodName>\n"
        . "<params>$params</params>\n</methodCall>\n";
    $server = stream_socket_client('unix://' . $argv[1]);
    fwrite($server, "POST /RPC2 HTTP/1.0\r\nUser-Agent: php\r\nHost: localhost\r\nContent-Type: text/xml\r\n"
        . 'Content-Length: ' . strlen($body) . "\r\n\r\n" . $body);
    [$head, $answer] = explode("\r\n\r\n", stream_get_contents($server), 2);
    if (!preg_match('{^HTTP/1\.[01] 200 }', $head)) throw new Exception($head);
    $document = simplexml_load_string($answer);
    return read_value($document->fault ? $document->fault->value : $document->params->param->value);
}

function expect($found, $expected): void {
    if ($found !== $expected) throw new Exception(var_export($found, true) . ' is not ' . var_export($expected, true));
}

expect(call('supervisor.getState'), ['statecode' => 1, 'statename' => 'RUNNING']);
expect(array_column(call('supervisor.getAllProcessInfo'), 'statename', 'name')['off'], 'STOPPED');
expect(call('supervisor.startProcess', 'off', 1), true);
expect(call('supervisor.getProcessInfo', 'off')['state'], 20);
expect(call('supervisor.stopProcess', 'off', true), true);
expect(call('supervisor.startProcess', 'none'), ['faultCode' => 10, 'faultString' => 'BAD_NAME: none']);
expect(call('supervisor.readProcessStdoutLog', 'talk', 0, 0), "abcde\n");
expect(call('supervisor.startProcess'), ['faultCode' => 2, 'faultString' => 'INCORRECT_PARAMETERS']);
echo "passed\n";
