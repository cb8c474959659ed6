/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP dates without libc's locale and time zones. Days are counted in the proleptic Gregorian
 * calendar with years that begin in March, so that the leap day is the last of its year. */
#include "server/date.h"

#include <time.h>

#include "server/chars.h"

enum {
    SECONDS_A_DAY = 86400,
    DAYS_0000_TO_1970 = 719468, /* from 0000-03-01 to 1970-01-01 */
    DAYS_400_YEARS = 146097,
};

static const int64_t last_second = 253402300799; /* 9999-12-31 23:59:59 */

static const char month_names[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
static const char day_names[7][10] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                      "Thursday", "Friday", "Saturday"};

struct civil {
    unsigned year;
    unsigned month; /* 1 to 12 */
    unsigned day;   /* 1 to 31 */
};

static int64_t days_of(struct civil date)
{
    unsigned year = date.year - (date.month <= 2);
    unsigned month = (date.month + 9) % 12; /* March is 0 */
    unsigned year_of_era = year % 400;
    unsigned day_of_year = (153 * month + 2) / 5 + date.day - 1;
    unsigned day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return (int64_t)(year / 400) * DAYS_400_YEARS + day_of_era - DAYS_0000_TO_1970;
}

static struct civil civil_of(uint32_t days)
{
    uint32_t z = days + DAYS_0000_TO_1970;
    uint32_t era = z / DAYS_400_YEARS;
    uint32_t day_of_era = z % DAYS_400_YEARS;
    uint32_t year =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    uint32_t day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    uint32_t month = (5 * day_of_year + 2) / 153;
    struct civil date = {
        .year = year + era * 400 + (month >= 10),
        .month = month < 10 ? month + 3 : month - 9,
        .day = day_of_year - (153 * month + 2) / 5 + 1,
    };
    return date;
}

static void put2(char *out, unsigned value)
{
    out[0] = (char)('0' + value / 10);
    out[1] = (char)('0' + value % 10);
}

void date_format(int64_t unix_seconds, char out[DATE_BYTES + 1])
{
    int64_t seconds = unix_seconds < 0             ? 0
                      : unix_seconds > last_second ? last_second
                                                   : unix_seconds;
    uint32_t days = (uint32_t)(seconds / SECONDS_A_DAY);
    unsigned second_of_day = (unsigned)(seconds % SECONDS_A_DAY);
    struct civil date = civil_of(days);
    memcpy(out, "Sun, 06 Nov 1994 08:49:37 GMT", DATE_BYTES + 1);
    memcpy(out, day_names[(days + 4) % 7], 3); /* 1970-01-01 was a Thursday */
    put2(out + 5, date.day);
    memcpy(out + 8, month_names[date.month - 1], 3);
    put2(out + 12, date.year / 100);
    put2(out + 14, date.year % 100);
    put2(out + 17, second_of_day / 3600);
    put2(out + 20, second_of_day / 60 % 60);
    put2(out + 23, second_of_day % 60);
}

/* ---- reading: each step takes something off the front of `rest`, or says no */

static bool take(struct span *rest, struct span literal)
{
    if (rest->len < literal.len || memcmp(rest->base, literal.base, literal.len) != 0) {
        return false;
    }
    rest->base += literal.len;
    rest->len -= literal.len;
    return true;
}

static bool take_digits(struct span *rest, size_t count, unsigned *value)
{
    uint64_t number;
    if (rest->len < count || !chars_number((struct span){rest->base, count}, UINT32_MAX, &number)) {
        return false;
    }
    *value = (unsigned)number;
    rest->base += count;
    rest->len -= count;
    return true;
}

static bool take_month(struct span *rest, unsigned *month)
{
    for (unsigned i = 0; i < 12; i++) {
        if (take(rest, (struct span){month_names[i], 3})) {
            *month = i + 1;
            return true;
        }
    }
    return false;
}

/* The name of a day, whole or its first three letters. Whether it fits the date is not checked. */
static bool take_day_name(struct span *rest, bool whole)
{
    for (unsigned i = 0; i < 7; i++) {
        if (take(rest, (struct span){day_names[i], whole ? strlen(day_names[i]) : 3})) {
            return true;
        }
    }
    return false;
}

static bool take_time(struct span *rest, unsigned *second_of_day)
{
    unsigned hour, minute, second;
    if (!take_digits(rest, 2, &hour) || !take(rest, SPAN(":")) || !take_digits(rest, 2, &minute) ||
        !take(rest, SPAN(":")) || !take_digits(rest, 2, &second)) {
        return false;
    }
    *second_of_day = hour * 3600 + minute * 60 + second;
    return hour < 24 && minute < 60 && second <= 60; /* 60: a leap second */
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" */
static bool parse_imf(struct span rest, struct civil *date, unsigned *second_of_day)
{
    return take_day_name(&rest, false) && take(&rest, SPAN(", ")) &&
           take_digits(&rest, 2, &date->day) && take(&rest, SPAN(" ")) &&
           take_month(&rest, &date->month) && take(&rest, SPAN(" ")) &&
           take_digits(&rest, 4, &date->year) && take(&rest, SPAN(" ")) &&
           take_time(&rest, second_of_day) && take(&rest, SPAN(" GMT")) && rest.len == 0;
}

/* "Sunday, 06-Nov-94 08:49:37 GMT". The year is the latest that is not over 50 years ahead. */
static bool parse_rfc850(struct span rest, struct civil *date, unsigned *second_of_day)
{
    if (!(take_day_name(&rest, true) && take(&rest, SPAN(", ")) &&
          take_digits(&rest, 2, &date->day) && take(&rest, SPAN("-")) &&
          take_month(&rest, &date->month) && take(&rest, SPAN("-")) &&
          take_digits(&rest, 2, &date->year) && take(&rest, SPAN(" ")) &&
          take_time(&rest, second_of_day) && take(&rest, SPAN(" GMT")) && rest.len == 0)) {
        return false;
    }
    unsigned year_max = civil_of((uint32_t)(time(NULL) / SECONDS_A_DAY)).year + 50;
    unsigned year = year_max - year_max % 100 + date->year;
    date->year = year > year_max ? year - 100 : year;
    return true;
}

/* "Sun Nov  6 08:49:37 1994" */
static bool parse_asctime(struct span rest, struct civil *date, unsigned *second_of_day)
{
    if (!(take_day_name(&rest, false) && take(&rest, SPAN(" ")) &&
          take_month(&rest, &date->month) && take(&rest, SPAN(" ")))) {
        return false;
    }
    size_t digits = take(&rest, SPAN(" ")) ? 1 : 2;
    return take_digits(&rest, digits, &date->day) && take(&rest, SPAN(" ")) &&
           take_time(&rest, second_of_day) && take(&rest, SPAN(" ")) &&
           take_digits(&rest, 4, &date->year) && rest.len == 0;
}

static bool civil_valid(struct civil date)
{
    static const uint8_t month_days[12] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = date.year % 4 == 0 && (date.year % 100 != 0 || date.year % 400 == 0);
    return date.year > 0 && date.day >= 1 && date.day <= month_days[date.month - 1] &&
           (date.month != 2 || date.day < 29 || leap);
}

bool date_parse(struct span text, int64_t *unix_seconds)
{
    struct civil date;
    unsigned second_of_day;
    if (!parse_imf(text, &date, &second_of_day) && !parse_rfc850(text, &date, &second_of_day) &&
        !parse_asctime(text, &date, &second_of_day)) {
        return false;
    }
    if (!civil_valid(date)) {
        return false;
    }
    *unix_seconds = days_of(date) * SECONDS_A_DAY + second_of_day;
    return true;
}
