/* Comments and string literals of a text, whether it parses or not. Twin: annotate/lexer.py. */
#include "text.h"

Py_ssize_t after_literal(const Py_UCS4 *at, Py_ssize_t place, Py_ssize_t size) {
    Py_UCS4 quote = at[place];
    if (place + 2 < size && at[place + 1] == quote && at[place + 2] == quote) {
        Py_ssize_t i = place + 3;
        for (;;) {
            if (i >= size)
                return size;
            if (at[i] == '\\') {
                if (i + 1 >= size)
                    return place + 2; /* a last backslash: the first two quotes are an empty literal */
                i += 2;
            } else if (at[i] == quote && i + 2 < size && at[i + 1] == quote && at[i + 2] == quote)
                return i + 3;
            else
                i++;
        }
    }
    Py_ssize_t i = place + 1;
    while (i < size && at[i] != quote && at[i] != '\n' && at[i] != '\r') {
        if (at[i] != '\\')
            i++;
        else if (i + 1 >= size)
            return i;
        else
            i += at[i + 1] == '\r' && i + 2 < size && at[i + 2] == '\n' ? 3 : 2;
    }
    return i < size && at[i] == quote ? i + 1 : i;
}

static inline Py_UCS4 lower(Py_UCS4 c) {
    if (c < 128)
        return c >= 'A' && c <= 'Z' ? c + 32 : c;
    return c == 0x130 || c == 0x131 ? 'i' : c; /* as `re` takes them without case */
}

static int starts_with(const Py_UCS4 *at, Py_ssize_t place, Py_ssize_t end, const char *phrase) {
    for (; *phrase; phrase++, place++)
        if (place >= end || lower(at[place]) != (Py_UCS4)*phrase)
            return 0;
    return place == end || !is_word(at[place]);
}

static int has_todo(const Py_UCS4 *at, Py_ssize_t start, Py_ssize_t end) {
    for (Py_ssize_t i = start; i < end; i++) {
        Py_UCS4 c = lower(at[i]);
        if ((c != 't' && c != 'f' && c != 'y') || (i > start && is_word(at[i - 1])))
            continue;
        if (starts_with(at, i, end, "todo") || starts_with(at, i, end, "fixme") ||
            starts_with(at, i, end, "your code here"))
            return 1;
    }
    return 0;
}

static int has_address(const Py_UCS4 *at, Py_ssize_t start, Py_ssize_t end) {
    static const char *tail = "://";
    for (Py_ssize_t i = start; i + 7 <= end; i++) {
        if (at[i] != 'h' || at[i + 1] != 't' || at[i + 2] != 't' || at[i + 3] != 'p')
            continue;
        Py_ssize_t place = i + 4 + (at[i + 4] == 's');
        int same = place + 3 <= end;
        for (int k = 0; same && k < 3; k++)
            same = at[place + k] == (Py_UCS4)tail[k];
        if (same)
            return 1;
    }
    return 0;
}

typedef struct {
    Py_ssize_t comment_characters, comment_lines, todos, string_characters, long_words, long_lines;
} Lexemes;

/* Words of more than `long_length` characters that hold no address, and lines of more than `long_words` words. */
static void measure_string(const Py_UCS4 *at, Py_ssize_t start, Py_ssize_t end, Py_ssize_t long_length,
                           Py_ssize_t long_words, Lexemes *found) {
    Py_ssize_t words = 0;
    for (Py_ssize_t i = start; i < end;) {
        if (at[i] == '\n' || at[i] == '\r') {
            found->long_lines += words > long_words;
            words = 0;
        }
        if (is_space(at[i])) {
            i++;
            continue;
        }
        Py_ssize_t word = i;
        while (i < end && !is_space(at[i]))
            i++;
        words++;
        if (i - word > long_length && !has_address(at, word, i))
            found->long_words += i - word;
    }
    found->long_lines += words > long_words;
}

static int begins_line(const Py_UCS4 *at, Py_ssize_t reached, Py_ssize_t place) {
    while (place > reached) {
        place--;
        if (at[place] == '\n' || at[place] == '\r')
            return 1;
        if (!is_space(at[place]))
            return 0;
    }
    return reached == 0;
}

/* (start, end) of each comment and literal, quotes included */
PyObject *spans_of(PyObject *module, PyObject *object) {
    Text text;
    PyObject *spans = PyList_New(0);
    if (!spans || read_text(object, &text) < 0) {
        Py_XDECREF(spans);
        return NULL;
    }
    for (Py_ssize_t i = 0; spans && i < text.size;) {
        Py_ssize_t start = i;
        if (text.at[i] == '#')
            i = line_end(text.at, i, text.size);
        else if (text.at[i] == '"' || text.at[i] == '\'')
            i = after_literal(text.at, i, text.size);
        else {
            i++;
            continue;
        }
        PyObject *span = Py_BuildValue("nn", start, i);
        if (!span || PyList_Append(spans, span) < 0)
            Py_CLEAR(spans);
        Py_XDECREF(span);
    }
    free_text(&text);
    return spans;
}

/* (characters of comments, comments that begin their line, those that say todo, characters of literals, of their long
   words, and their long lines) */
PyObject *lexemes_of(PyObject *module, PyObject *arguments) {
    PyObject *object;
    Py_ssize_t long_length, long_words;
    Text text;
    Lexemes found = {0};
    if (!PyArg_ParseTuple(arguments, "Onn", &object, &long_length, &long_words) || read_text(object, &text) < 0)
        return NULL;
    const Py_UCS4 *at = text.at;
    Py_ssize_t reached = 0;
    for (Py_ssize_t i = 0; i < text.size;) {
        Py_ssize_t start = i;
        if (at[i] == '#') {
            i = line_end(at, i, text.size);
            found.comment_characters += i - start;
            found.comment_lines += begins_line(at, reached, start);
            found.todos += has_todo(at, start, i);
        } else if (at[i] == '"' || at[i] == '\'') {
            i = after_literal(at, i, text.size);
            found.string_characters += i - start;
            if (i - start > long_length)
                measure_string(at, start, i, long_length, long_words, &found);
        } else {
            i++;
            continue;
        }
        reached = i;
    }
    free_text(&text);
    return Py_BuildValue("nnnnnn", found.comment_characters, found.comment_lines, found.todos,
                         found.string_characters, found.long_words, found.long_lines);
}
