/* A matcher that remembers only the last star it met: when what follows that star does not fit, it
 * is tried again one byte further. Giving up an earlier star instead could never help, since the
 * later one already skips any number of bytes; that is what keeps the cost at pattern times text,
 * where the obvious recursion is exponential for patterns such as a*a*a*a*b. */
#include "codec/glob.h"

static uint8_t fold(uint8_t byte, bool nocase)
{
    return nocase && byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte + ('a' - 'A')) : byte;
}

/* Redis compares the ends of a range as signed characters, so that [a-\xff] means \xff..a. */
static bool in_range(uint8_t first, uint8_t last, uint8_t byte, bool nocase)
{
    int low = (signed char)first;
    int high = (signed char)last;
    if (low > high) {
        int swap = low;
        low = high;
        high = swap;
    }
    low = (signed char)fold((uint8_t)low, nocase);
    high = (signed char)fold((uint8_t)high, nocase);
    int value = (signed char)fold(byte, nocase);
    return value >= low && value <= high;
}

/* Matches `byte` with the set whose opening bracket is at pattern[*at]; moves *at behind the set.
 */
static bool set_matches(struct bytes pattern, size_t *at, uint8_t byte, bool nocase)
{
    size_t i = *at + 1;
    bool negated = i < pattern.len && pattern.data[i] == '^';
    if (negated)
        i++;
    bool found = false;
    while (i < pattern.len && pattern.data[i] != ']') {
        const uint8_t *p = pattern.data + i;
        size_t left = pattern.len - i;
        if (p[0] == '\\' && left >= 2) {
            found |= p[1] == byte;
            i += 2;
        } else if (left >= 3 && p[1] == '-') {
            found |= in_range(p[0], p[2], byte, nocase);
            i += 3;
        } else {
            found |= fold(p[0], nocase) == fold(byte, nocase);
            i++;
        }
    }
    *at = i < pattern.len ? i + 1 : i;
    return found != negated;
}

/* Matches one byte with the element at pattern[*at], which is not a star; moves *at behind it. */
static bool element_matches(struct bytes pattern, size_t *at, uint8_t byte, bool nocase)
{
    uint8_t first = pattern.data[*at];
    if (first == '[')
        return set_matches(pattern, at, byte, nocase);
    if (first == '\\' && pattern.len - *at >= 2)
        first = pattern.data[++*at];
    else if (first == '?') {
        ++*at;
        return true;
    }
    ++*at;
    return fold(first, nocase) == fold(byte, nocase);
}

bool glob_match(struct bytes pattern, struct bytes text, bool nocase)
{
    if (text.len == 0)
        return pattern.len == 0;
    size_t p = 0;
    size_t t = 0;
    bool starred = false;
    size_t star_p = 0; /* behind the last star */
    size_t star_t = 0; /* where in the text it was last tried */
    while (t < text.len) {
        if (p < pattern.len && pattern.data[p] == '*') {
            starred = true;
            star_p = ++p;
            star_t = t;
            if (p == pattern.len)
                return true;
            continue;
        }
        if (p < pattern.len && element_matches(pattern, &p, text.data[t], nocase)) {
            t++;
            continue;
        }
        if (!starred)
            return false;
        p = star_p;
        t = ++star_t;
    }
    while (p < pattern.len && pattern.data[p] == '*')
        p++;
    return p == pattern.len;
}

bool glob_has_wildcard(struct bytes pattern)
{
    for (size_t i = 0; i < pattern.len; i++) {
        if (pattern.data[i] == '*' || pattern.data[i] == '?' || pattern.data[i] == '[')
            return true;
    }
    return false;
}
