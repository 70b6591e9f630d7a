"""HTTP dates (RFC 9110 section 5.6.7): seconds since 1970 UTC to text and back.

Integer arithmetic on the proleptic Gregorian calendar, whose years begin in March here
so that the leap day comes last. libc's functions would read a locale and take locks.
"""

from libc.stdint cimport int64_t
from libc.string cimport memcmp, memcpy


cdef extern from *:
    """
    #include <stdint.h>
    #define HTTPDATE_INVALID INT64_MIN
    /* 0000-01-01 00:00:00 and 9999-12-31 23:59:59: what four digits can name. */
    #define HTTPDATE_FIRST_S INT64_C(-62167219200)
    #define HTTPDATE_LAST_S INT64_C(253402300799)
    #define HTTPDATE_DAY_S INT64_C(86400)
    /* Days of a year, beginning in March, before each of its months. */
    static const int64_t httpdate_days_before[12] = {
        0, 31, 61, 92, 122, 153, 184, 214, 245, 275, 306, 337
    };
    static const char httpdate_months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    static const char httpdate_days[] = "SunMonTueWedThuFriSat";
    static const char *const httpdate_long_days[7] = {
        "Sunday, ", "Monday, ", "Tuesday, ", "Wednesday, ", "Thursday, ", "Friday, ",
        "Saturday, "
    };
    static const unsigned char httpdate_long_day_n[7] = {8, 8, 9, 11, 10, 8, 10};
    """
    const int64_t HTTPDATE_INVALID
    const int64_t HTTPDATE_FIRST_S
    const int64_t HTTPDATE_LAST_S
    const int64_t HTTPDATE_DAY_S
    const int64_t httpdate_days_before[12]
    const char* httpdate_months
    const char* httpdate_days
    const char* const httpdate_long_days[7]
    const unsigned char httpdate_long_day_n[7]

cdef enum:
    HTTPDATE_BYTES = 29           # Sun, 06 Nov 1994 08:49:37 GMT
    HTTPDATE_ASCTIME_BYTES = 24   # Sun Nov  6 08:49:37 1994
    HTTPDATE_RFC850_BYTES = 22    # 06-Nov-94 08:49:37 GMT, after the day's name
    HTTPDATE_DAYS_400Y = 146097
    HTTPDATE_DAYS_100Y = 36524
    HTTPDATE_DAYS_4Y = 1461
    HTTPDATE_EPOCH_DAY = 719468   # days from 0000-03-01 to 1970-01-01

cdef struct Civil:
    int64_t year
    int month     # 1 to 12
    int day       # 1 to 31
    int second    # of the day; 86400: a leap second at its end


cdef inline int64_t civil_epoch(const Civil* c) noexcept nogil:
    """Seconds since 1970; for years from -399, whatever the days of the month."""
    cdef int64_t year = c.year + 400 - (1 if c.month <= 2 else 0)
    cdef int64_t days = year * 365 + year // 4 - year // 100 + year // 400
    days += httpdate_days_before[(c.month + 9) % 12] + c.day - 1
    days -= HTTPDATE_DAYS_400Y + HTTPDATE_EPOCH_DAY
    return days * HTTPDATE_DAY_S + c.second


cdef inline Civil civil_of(int64_t epoch_s) noexcept nogil:
    """``epoch_s`` from HTTPDATE_FIRST_S to HTTPDATE_LAST_S."""
    cdef Civil c
    # 400 years ahead: nothing below is negative, so division needs no care.
    cdef int64_t ahead = HTTPDATE_EPOCH_DAY + HTTPDATE_DAYS_400Y
    cdef int64_t since = epoch_s + ahead * HTTPDATE_DAY_S
    cdef int64_t days = since // HTTPDATE_DAY_S
    cdef int64_t centuries, years
    cdef int month = 11
    c.second = <int>(since % HTTPDATE_DAY_S)
    c.year = days // HTTPDATE_DAYS_400Y * 400 - 400
    days %= HTTPDATE_DAYS_400Y
    # The last day of 400 and of 4 years is the leap day, one more than equal parts.
    centuries = min(days // HTTPDATE_DAYS_100Y, <int64_t>3)
    days -= centuries * HTTPDATE_DAYS_100Y
    c.year += centuries * 100 + days // HTTPDATE_DAYS_4Y * 4
    days %= HTTPDATE_DAYS_4Y
    years = min(days // 365, <int64_t>3)
    days -= years * 365
    while httpdate_days_before[month] > days:
        month -= 1
    c.day = <int>(days - httpdate_days_before[month]) + 1
    c.month = (month + 2) % 12 + 1
    c.year += years + (1 if c.month <= 2 else 0)
    return c


cdef inline void httpdate_put_two(char* out, int value) noexcept nogil:
    out[0] = <char>(c'0' + value // 10)
    out[1] = <char>(c'0' + value % 10)


cdef inline void httpdate_format(int64_t epoch_s, char* out) noexcept nogil:
    """Write HTTPDATE_BYTES of IMF-fixdate, without a NUL.

    Times outside the years 0000 to 9999 become the nearest that can be written.
    """
    cdef int64_t s = min(max(epoch_s, HTTPDATE_FIRST_S), HTTPDATE_LAST_S)
    cdef Civil c = civil_of(s)
    # 0000-01-01 was a Saturday.
    cdef int64_t weekday = ((s - HTTPDATE_FIRST_S) // HTTPDATE_DAY_S + 6) % 7
    memcpy(out, b"Day, 00 Mon 0000 00:00:00 GMT", HTTPDATE_BYTES)
    memcpy(out, httpdate_days + 3 * weekday, 3)
    httpdate_put_two(out + 5, c.day)
    memcpy(out + 8, httpdate_months + 3 * (c.month - 1), 3)
    httpdate_put_two(out + 12, <int>(c.year // 100))
    httpdate_put_two(out + 14, <int>(c.year % 100))
    httpdate_put_two(out + 17, c.second // 3600)
    httpdate_put_two(out + 20, c.second // 60 % 60)
    httpdate_put_two(out + 23, c.second % 60)


cdef inline int httpdate_two(const char* s) noexcept nogil:
    """The number that two digits spell; -1: they are not digits."""
    if c'0' <= s[0] <= c'9' and c'0' <= s[1] <= c'9':
        return (s[0] - c'0') * 10 + s[1] - c'0'
    return -1


cdef inline int httpdate_name(const char* s, const char* names, int n) noexcept nogil:
    """Which of ``n`` names of three letters, from 0; -1: none (case matters)."""
    cdef int i
    for i in range(n):
        if memcmp(s, names + 3 * i, 3) == 0:
            return i
    return -1


cdef inline bint httpdate_time(const char* s, Civil* c) noexcept nogil:
    """``08:49:37``; second 60 is in the grammar for leap seconds."""
    cdef int hour = httpdate_two(s)
    cdef int minute = httpdate_two(s + 3)
    cdef int second = httpdate_two(s + 6)
    c.second = hour * 3600 + minute * 60 + second
    return (
        0 <= hour <= 23 and 0 <= minute <= 59 and 0 <= second <= 60
        and s[2] == c':' and s[5] == c':')


cdef inline bint httpdate_day(Civil* c) noexcept nogil:
    """Whether the month has that day."""
    cdef bint leap = (
        c.year % 4 == 0 and (c.year % 100 != 0 or c.year % 400 == 0))
    cdef int days = 31
    if c.month == 2:
        days = 29 if leap else 28
    elif c.month in (4, 6, 9, 11):
        days = 30
    return 1 <= c.day <= days


cdef inline bint httpdate_year(const char* s, Civil* c) noexcept nogil:
    c.year = httpdate_two(s) * 100 + httpdate_two(s + 2)
    return c.year >= 0 and httpdate_two(s + 2) >= 0


cdef inline bint httpdate_imf(const char* s, Civil* c) noexcept nogil:
    """HTTPDATE_BYTES of ``Sun, 06 Nov 1994 08:49:37 GMT``."""
    c.day = httpdate_two(s + 5)
    c.month = httpdate_name(s + 8, httpdate_months, 12) + 1
    return (
        httpdate_name(s, httpdate_days, 7) >= 0 and memcmp(s + 3, b", ", 2) == 0
        and s[7] == c' ' and c.month > 0 and s[11] == c' '
        and httpdate_year(s + 12, c) and s[16] == c' '
        and httpdate_time(s + 17, c) and memcmp(s + 25, b" GMT", 4) == 0)


cdef inline bint httpdate_asctime(const char* s, Civil* c) noexcept nogil:
    """HTTPDATE_ASCTIME_BYTES of ``Sun Nov  6 08:49:37 1994``."""
    c.month = httpdate_name(s + 4, httpdate_months, 12) + 1
    if s[8] == c' ':
        c.day = s[9] - c'0' if c'1' <= s[9] <= c'9' else 0
    else:
        c.day = httpdate_two(s + 8)
    return (
        httpdate_name(s, httpdate_days, 7) >= 0 and s[3] == c' ' and c.month > 0
        and s[7] == c' ' and s[10] == c' ' and httpdate_time(s + 11, c)
        and s[19] == c' ' and httpdate_year(s + 20, c))


cdef inline int64_t httpdate_full_year(const Civil* c, int64_t now_s) noexcept nogil:
    """The year that two digits mean: of this century, unless that would be more than
    50 years ahead; then of the last one (RFC 9110 section 5.6.7)."""
    cdef Civil then = c[0]
    cdef int64_t now = min(max(now_s, HTTPDATE_FIRST_S), HTTPDATE_LAST_S)
    then.year += civil_of(now).year // 100 * 100 - 50
    return then.year + 50 if civil_epoch(&then) <= now else then.year - 50


cdef inline bint httpdate_rfc850(
    const char* s, size_t n, int64_t now_s, Civil* c
) noexcept nogil:
    """``Sunday, 06-Nov-94 08:49:37 GMT``."""
    cdef int i
    cdef size_t name_n
    for i in range(7):
        name_n = httpdate_long_day_n[i]
        if n == name_n + HTTPDATE_RFC850_BYTES and (
                memcmp(s, httpdate_long_days[i], name_n) == 0):
            s += name_n
            break
    else:
        return False
    c.day = httpdate_two(s)
    c.month = httpdate_name(s + 3, httpdate_months, 12) + 1
    c.year = httpdate_two(s + 7)
    if not (
            s[2] == c'-' and c.month > 0 and s[6] == c'-' and c.year >= 0
            and s[9] == c' ' and httpdate_time(s + 10, c)
            and memcmp(s + 18, b" GMT", 4) == 0):
        return False
    c.year = httpdate_full_year(c, now_s)
    return True


cdef inline int64_t httpdate_parse(
    const char* s, size_t n, int64_t now_s
) noexcept nogil:
    """Seconds since 1970 of an HTTP-date in any of its three forms.

    HTTPDATE_INVALID when it is none of them, or names no day of the calendar. The
    day's name must be one, but need not be the right one: it adds nothing.
    """
    cdef Civil c
    cdef bint known
    if n == HTTPDATE_BYTES:
        known = httpdate_imf(s, &c)
    elif n == HTTPDATE_ASCTIME_BYTES:
        known = httpdate_asctime(s, &c)
    else:
        known = httpdate_rfc850(s, n, now_s, &c)
    if not known or not httpdate_day(&c):
        return HTTPDATE_INVALID
    return civil_epoch(&c)
