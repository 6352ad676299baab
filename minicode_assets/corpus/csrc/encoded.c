/* Encoded data in a text: the runs of annotate/encoded.py's patterns, and hexadecimal words. */
#include "text.h"

enum { BASE64_CHARACTERS = 64, MIN_UNITS = 8, ESCAPE_CHARACTERS = 6, HEX_DIGITS = 8 };
enum { BYTES_CHARACTERS = 3 * MIN_UNITS - 1 }; /* of eight bytes with one character between two at least */

typedef struct {
    Py_ssize_t start, end;
} Run;

typedef Run (*Finder)(const Text *, Py_ssize_t);

static inline int is_in(Py_UCS4 c, int class) { return c < 128 ? CLASSES[c] & class : class == IN_BYTES; }

/* The first place from which on `width` characters are of a class, or -1: most characters are never looked at. */
static Py_ssize_t skip(const Text *text, Py_ssize_t from, Py_ssize_t width, int class) {
    while (from + width <= text->size) {
        Py_ssize_t back = from + width - 1;
        while (back >= from && is_in(text->at[back], class))
            back--;
        if (back < from)
            return from;
        from = back + 1;
    }
    return -1;
}

static inline Run none(const Text *text) { return (Run){text->size, text->size}; }

static Run next_base64(const Text *text, Py_ssize_t from) {
    Py_ssize_t start = skip(text, from, BASE64_CHARACTERS, IN_BASE64);
    if (start < 0)
        return none(text);
    Py_ssize_t end = start + BASE64_CHARACTERS;
    while (end < text->size && is_in(text->at[end], IN_BASE64))
        end++;
    return (Run){start, end};
}

static inline int is_edge(const Py_UCS4 *at, Py_ssize_t i) { return (i > 0 && is_word(at[i - 1])) != is_word(at[i]); }

/* Where the hexadecimal byte ends that begins here, with the comma or white space behind it; -1 if there is none. */
static Py_ssize_t after_byte(const Text *text, Py_ssize_t i) {
    const Py_UCS4 *at = text->at;
    if (!is_edge(at, i))
        return -1;
    i += (at[i] == '0' || at[i] == '\\') && at[i + 1] == 'x' ? 2 : 0;
    if (!is_hex(at[i]) || !is_hex(at[i + 1]))
        return -1;
    i += 2;
    if (at[i] == ',')
        return i + 1;
    if (!is_edge(at, i))
        return -1;
    while (i < text->size && is_space(at[i]))
        i++;
    return i;
}

static Run next_bytes(const Text *text, Py_ssize_t from) {
    while ((from = skip(text, from, BYTES_CHARACTERS, IN_BYTES)) >= 0) {
        Py_ssize_t end = from, next;
        int units = 0;
        for (; (next = after_byte(text, end)) >= 0; end = next)
            units++;
        if (units >= MIN_UNITS)
            return (Run){from, end};
        from = units ? end : from + 1;
    }
    return none(text);
}

static int is_escape(const Py_UCS4 *at, Py_ssize_t i) {
    return at[i] == '\\' && at[i + 1] == 'u' && is_hex(at[i + 2]) && is_hex(at[i + 3]) && is_hex(at[i + 4]) &&
           is_hex(at[i + 5]);
}

static Run next_escapes(const Text *text, Py_ssize_t from) {
    while ((from = skip(text, from, MIN_UNITS * ESCAPE_CHARACTERS, IN_ESCAPES)) >= 0) {
        Py_ssize_t end = from;
        while (is_escape(text->at, end))
            end += ESCAPE_CHARACTERS;
        if (end - from >= MIN_UNITS * ESCAPE_CHARACTERS)
            return (Run){from, end};
        from = end > from ? end : from + 1;
    }
    return none(text);
}

/* (characters inside runs, longest run); overlapping runs of different patterns count once */
PyObject *encoded_of(PyObject *module, PyObject *object) {
    static const Finder finders[] = {next_base64, next_bytes, next_escapes};
    Text text;
    Run runs[3];
    if (read_text(object, &text) < 0)
        return NULL;
    for (int k = 0; k < 3; k++)
        runs[k] = finders[k](&text, 0);
    Py_ssize_t total = 0, longest = 0, reached = 0;
    for (;;) {
        int first = 0;
        for (int k = 1; k < 3; k++)
            if (runs[k].start < runs[first].start)
                first = k;
        Run run = runs[first];
        if (run.start >= text.size)
            break;
        longest = run.end - run.start > longest ? run.end - run.start : longest;
        if (run.end > reached) {
            total += run.end - (run.start > reached ? run.start : reached);
            reached = run.end;
        }
        runs[first] = finders[first](&text, run.end);
    }
    free_text(&text);
    return Py_BuildValue("nn", total, longest);
}

/* Where the word of hexadecimal digits ends whose digits begin at `place`; -1 unless it has so many. */
static Py_ssize_t after_digits(const Text *text, Py_ssize_t place, Py_ssize_t least) {
    Py_ssize_t end = place;
    while (end < text->size && is_hex(text->at[end]))
        end++;
    return end - place >= least && !is_word(text->at[end]) ? end : -1;
}

static inline int begins_word(const Text *text, Py_ssize_t i) { return i == 0 || !is_word(text->at[i - 1]); }

/* Words that are hexadecimal numbers: 0x and two digits, two behind the x of an escape, or eight digits and more. */
PyObject *hex_words_of(PyObject *module, PyObject *object) {
    Text text;
    Py_ssize_t found = 0, end;
    if (read_text(object, &text) < 0)
        return NULL;
    for (Py_ssize_t i = 1; i < text.size; i++) {
        if ((text.at[i] | 32) != 'x')
            continue;
        int is_prefix = text.at[i - 1] == '0' && begins_word(&text, i - 1);
        int is_escape = text.at[i - 1] == '\\' && text.at[i] == 'x';
        found += (is_prefix || is_escape) && after_digits(&text, i + 1, 2) >= 0;
    }
    for (Py_ssize_t i = 0; (i = skip(&text, i, HEX_DIGITS, IN_HEX)) >= 0; i = end >= 0 ? end : i + 1)
        found += (end = begins_word(&text, i) ? after_digits(&text, i, HEX_DIGITS) : -1) >= 0;
    free_text(&text);
    return PyLong_FromSsize_t(found);
}
