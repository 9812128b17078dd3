"""The times of cron expressions, written from Vixie cron's rules and Python's own time zones.

Reads lines of `expression|zone|from|to|most`, in seconds since 1970, and prints the times after `from` up to `to` of each, at
most that many. Shares nothing with what it is compared with.
"""

import calendar
import sys
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from zoneinfo import ZoneInfo

MONTHS = {name: n + 1 for n, name in enumerate("JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split())}
DAYS = {name: n for n, name in enumerate("SUN MON TUE WED THU FRI SAT".split())}


def numbers(field, low, high, names):
    def number(word):
        return names[word] if word in names else int(word)

    found = set()
    for item in field.split(","):
        part, _, step = item.partition("/")
        if part in ("*", "?"):
            first, last = low, high
        elif "-" in part:
            first, last = (number(word) for word in part.split("-"))
        else:
            first = last = number(part)
        found.update(range(first, last + 1, int(step or 1)))
    return found


def nearest_weekday(year, month, day):
    """The weekday nearest to this day within its month; None if the month has no such day."""
    last = calendar.monthrange(year, month)[1]
    if day > last:
        return None
    weekday = date(year, month, day).weekday()
    if weekday == 5:
        return day - 1 if day > 1 else day + 2
    if weekday == 6:
        return day + 1 if day < last else day - 2
    return day


def day_of_month_matches(field, day):
    last = calendar.monthrange(day.year, day.month)[1]
    for item in field.split(","):
        if item == "L":
            if day.day == last:
                return True
        elif item == "LW":
            weekday = date(day.year, day.month, last).weekday()
            if day.day == last - max(0, weekday - 4):
                return True
        elif item.endswith("W"):
            if day.day == nearest_weekday(day.year, day.month, int(item[:-1])):
                return True
        elif day.day in numbers(item, 1, 31, {}):
            return True
    return False


def day_of_week_matches(field, day):
    sunday_first = (day.weekday() + 1) % 7
    last = calendar.monthrange(day.year, day.month)[1]
    for item in field.split(","):
        if "#" in item:
            name, nth = item.split("#")
            if sunday_first == number_of_day(name) and (day.day - 1) // 7 + 1 == int(nth):
                return True
        elif item.endswith("L"):
            if sunday_first == number_of_day(item[:-1]) and day.day + 7 > last:
                return True
        elif sunday_first in {number % 7 for number in numbers(item, 0, 7, DAYS)}:
            return True
    return False


def number_of_day(word):
    return (DAYS[word] if word in DAYS else int(word)) % 7


class Expression:
    def __init__(self, text):
        fields = text.split()
        if len(fields) == 5:
            fields.insert(0, "0")
        second, minute, hour, self.dom, month, self.dow = fields
        self.seconds = sorted(numbers(second, 0, 59, {}))
        self.minutes = sorted(numbers(minute, 0, 59, {}))
        self.hours = sorted(numbers(hour, 0, 23, {}))
        self.months = numbers(month, 1, 12, MONTHS)
        # "1,1" is one hour, and a range is not, however short it is.
        times = ((second, self.seconds), (minute, self.minutes), (hour, self.hours))
        self.is_fixed = all(len(values) == 1 and not set(field) & set("*-/") for field, values in times)
        # Vixie: if one of the fields begins with a star, both must match; otherwise one is enough.
        self.both = self.dom[0] in "*?" or self.dow[0] in "*?"

    def matches(self, day):
        if day.month not in self.months:
            return False
        dom, dow = day_of_month_matches(self.dom, day), day_of_week_matches(self.dow, day)
        return (dom and dow) if self.both else (dom or dow)


@lru_cache(maxsize=None)
def zone(name):
    return ZoneInfo(name)


def instants(local, tz, is_fixed):
    """The moments, in seconds since 1970, at which an expression with this local time runs."""
    first = local.replace(tzinfo=tz, fold=0)
    second = local.replace(tzinfo=tz, fold=1)
    if first.utcoffset() == second.utcoffset():
        return [int(first.timestamp())]
    if first.utcoffset() > second.utcoffset():
        # The clock shows it twice.
        both = [int(first.timestamp()), int(second.timestamp())]
        return both[:1] if is_fixed else both
    # The clock does not show it: a fixed time comes at the first moment after the gap.
    if not is_fixed:
        return []
    early, late = int(second.timestamp()), int(first.timestamp())
    before = offset(early - 1, tz)
    while early < late:
        middle = (early + late) // 2
        if offset(middle, tz) == before:
            early = middle + 1
        else:
            late = middle
    return [late]


def offset(second, tz):
    return datetime.fromtimestamp(second, timezone.utc).astimezone(tz).utcoffset()


def times(text, name, begin, end, most):
    expression, tz = Expression(text), zone(name)
    day = datetime.fromtimestamp(begin, timezone.utc).astimezone(tz).date() - timedelta(days=1)
    last = datetime.fromtimestamp(end, timezone.utc).astimezone(tz).date() + timedelta(days=1)
    found = set()
    while day <= last:
        if expression.matches(day):
            for hour in expression.hours:
                for minute in expression.minutes:
                    for second in expression.seconds:
                        local = datetime(day.year, day.month, day.day, hour, minute, second)
                        found.update(at for at in instants(local, tz, expression.is_fixed) if begin < at <= end)
            # Enough days, and one more for what the zone moves.
            if len(found) > most * 2 + 200:
                break
        day += timedelta(days=1)
    return sorted(found)[:most]


for line in sys.stdin:
    text, name, begin, end, most = line.rstrip("\n").split("|")
    print(" ".join(str(at) for at in times(text, name, int(begin), int(end), int(most))))
