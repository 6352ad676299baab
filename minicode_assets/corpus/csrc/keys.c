/* Where keys may begin: pii/secrets.py says how each maker's do. Also in what neighbouring literals say together. */
#include "text.h"
#include <string.h>

enum { MAX_PREFIX_LETTERS = 2 };

typedef struct {
    const char *start, *then; /* ASCII: the first characters, and what stands behind the run of key characters */
    Py_ssize_t least, skip;   /* characters of that run; of the start those that are not part of the key */
    Py_ssize_t next;          /* number + 1 of the next maker whose keys begin with the same character */
} Maker;

typedef struct {
    Maker *makers;
    Py_ssize_t size;
    uint8_t heads[128];          /* number + 1 of the first maker by its first character */
    uint8_t seconds[128][16];    /* a bit for each character that may follow it */
} Makers;

static inline int is_ascii_key(Py_UCS4 c) { return c < 128 && CLASSES[c] & IN_KEY; }

static inline int is_key(Py_UCS4 c) { return c >= 128 || CLASSES[c] & IN_KEY; }

static int begins(const Text *text, Py_ssize_t place, const char *phrase) {
    for (; *phrase; phrase++, place++)
        if (place >= text->size || text->at[place] != (Py_UCS4)(uint8_t)*phrase)
            return 0;
    return 1;
}

/* Where the key begins that one of the makers may have made, or -1. */
static Py_ssize_t place_of(const Makers *makers, const Text *text, Py_ssize_t i, int is_start, Py_ssize_t *run_end) {
    for (Py_ssize_t k = makers->heads[text->at[i]]; k; k = makers->makers[k - 1].next) {
        const Maker *maker = &makers->makers[k - 1];
        if ((!is_start && !maker->skip) || !begins(text, i, maker->start))
            continue;
        if (maker->skip)
            return i + maker->skip;
        *run_end = *run_end > i ? *run_end : i;
        while (*run_end < text->size && is_key(text->at[*run_end]))
            ++*run_end;
        if (*run_end - i >= maker->least && begins(text, *run_end, maker->then))
            return i;
    }
    return -1;
}

static inline int is_letter_or_digit(Py_UCS4 c) { return c < 128 && (CLASSES[c] & (IN_WORD | IN_BASE64)) == (IN_WORD | IN_BASE64); }

/* Whether a key may begin here: not in the middle of a word, an escape sequence aside. */
static int begins_word(const Py_UCS4 *at, Py_ssize_t i) {
    if (i == 0 || !is_ascii_key(at[i - 1]))
        return 1;
    return i > 1 && at[i - 2] == '\\' && (at[i - 1] == 'n' || at[i - 1] == 't' || at[i - 1] == 'r') &&
           is_letter_or_digit(at[i]);
}

/* Where the next key may begin, looked for from `from` on, which is moved behind what was looked at; -1 if nowhere.
   `run_end` begins as 0 and is kept for the next call. */
static Py_ssize_t next_place(const Makers *makers, const Text *text, Py_ssize_t *from, Py_ssize_t *run_end) {
    const Py_UCS4 *at = text->at;
    for (Py_ssize_t i = *from; i < text->size; i++) {
        Py_UCS4 c = at[i], second = at[i + 1] & 127;
        if (c >= 128 || !(makers->seconds[c][second >> 3] >> (second & 7) & 1))
            continue;
        Py_ssize_t place = place_of(makers, text, i, begins_word(at, i), run_end);
        *from = i + 1;
        if (place >= 0)
            return place;
    }
    *from = text->size;
    return -1;
}

static void close_makers(Makers *makers) { PyMem_Free(makers->makers); }

static void enter(Makers *makers, Py_ssize_t k) {
    Maker *maker = &makers->makers[k];
    uint8_t first = maker->start[0] & 127, second = first ? maker->start[1] & 127 : 0;
    maker->next = makers->heads[first];
    makers->heads[first] = (uint8_t)(k + 1);
    if (second)
        makers->seconds[first][second >> 3] |= (uint8_t)(1 << (second & 7));
    else
        memset(makers->seconds[first], 255, sizeof makers->seconds[first]);
}

static int read_makers(Makers *makers, PyObject *rows) {
    makers->size = PyTuple_GET_SIZE(rows);
    makers->makers = PyMem_Calloc((size_t)makers->size + 1, sizeof *makers->makers);
    if (!makers->makers || makers->size > UINT8_MAX - 1) {
        PyErr_SetString(PyExc_ValueError, "no memory, or more than 254 makers");
        return -1;
    }
    for (Py_ssize_t k = 0; k < makers->size; k++) {
        Maker *maker = &makers->makers[k];
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(rows, k), "ynyn", &maker->start, &maker->least, &maker->then, &maker->skip))
            return -1;
        enter(makers, k);
    }
    return 0;
}

static int append(PyObject *list, PyObject *item) {
    int failed = !item || PyList_Append(list, item) < 0;
    Py_XDECREF(item);
    return failed ? -1 : 0;
}

/* (text, makers): places at which a key may begin */
PyObject *key_places(PyObject *module, PyObject *arguments) {
    PyObject *object, *rows, *places = NULL;
    Makers makers = {0};
    Text text;
    if (!PyArg_ParseTuple(arguments, "OO!", &object, &PyTuple_Type, &rows) || read_text(object, &text) < 0)
        return NULL;
    if (read_makers(&makers, rows) == 0)
        places = PyList_New(0);
    for (Py_ssize_t from = 0, run_end = 0, place; places && (place = next_place(&makers, &text, &from, &run_end)) >= 0;)
        if (append(places, PyLong_FromSsize_t(place)) < 0)
            Py_CLEAR(places);
    close_makers(&makers);
    free_text(&text);
    return places;
}

typedef struct {
    Text joined;       /* what stands between the quotes of the literals, put together; room for the whole text */
    PyObject *pieces;  /* list of (start, end) */
} Group;

static inline int is_between(Py_UCS4 c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\\' || c == '+';
}

/* Whether only space, comments, signs that join, and the prefix of the second stand between two literals. */
static int are_neighbours(const Py_UCS4 *at, Py_ssize_t start, Py_ssize_t end) {
    while (start < end && (is_between(at[start]) || at[start] == '#'))
        start = at[start] == '#' ? line_end(at, start, end) : start + 1;
    Py_ssize_t letters = 0;
    while (start < end && ((at[start] | 32) >= 'a' && (at[start] | 32) <= 'z'))
        start++, letters++;
    return start == end && letters <= MAX_PREFIX_LETTERS;
}

static int add_piece(Group *group, const Text *text, Py_ssize_t start, Py_ssize_t end) {
    Py_UCS4 quote = text->at[start];
    int is_triple = start + 2 < text->size && text->at[start + 1] == quote && text->at[start + 2] == quote;
    Py_ssize_t width = is_triple ? 3 : 1;
    start += width;
    end = end - width > start ? end - width : start;
    memcpy(group->joined.at + group->joined.size, text->at + start, (size_t)(end - start) * sizeof *text->at);
    group->joined.size += end - start;
    group->joined.at[group->joined.size] = 0;
    return append(group->pieces, Py_BuildValue("nn", start, end));
}

/* Hands the group over if it is of several literals and a key may begin in them; a new one is open afterwards. */
static int end_group(Group *group, const Makers *makers, PyObject *found) {
    int failed = 0;
    Py_ssize_t from = 0, run_end = 0;
    if (PyList_GET_SIZE(group->pieces) > 1 && next_place(makers, &group->joined, &from, &run_end) >= 0)
        failed = PyList_Append(found, group->pieces);
    Py_SETREF(group->pieces, PyList_New(0));
    group->joined.size = 0;
    return failed < 0 || !group->pieces ? -1 : 0;
}

static int find_groups(const Text *text, const Makers *makers, Group *group, PyObject *found) {
    Py_ssize_t reached = 0;
    for (Py_ssize_t i = 0; i < text->size;) {
        Py_ssize_t start = i;
        if (text->at[i] == '#')
            i = line_end(text->at, i, text->size);
        else if (text->at[i] == '"' || text->at[i] == '\'') {
            i = after_literal(text->at, i, text->size);
            if (!are_neighbours(text->at, reached, start) && end_group(group, makers, found) < 0)
                return -1;
            if (add_piece(group, text, start, i) < 0)
                return -1;
            reached = i;
        } else
            i++;
    }
    return end_group(group, makers, found);
}

/* (text, makers): for each run of neighbouring literals in which a key may begin, what is between the quotes of each */
PyObject *joined_key_places(PyObject *module, PyObject *arguments) {
    PyObject *object, *rows;
    Makers makers = {0};
    Text text;
    if (!PyArg_ParseTuple(arguments, "OO!", &object, &PyTuple_Type, &rows) || read_text(object, &text) < 0)
        return NULL;
    Group group = {.joined.at = PyMem_Malloc(((size_t)text.size + 1) * sizeof *text.at), .pieces = PyList_New(0)};
    PyObject *found = PyList_New(0);
    if (!group.joined.at)
        PyErr_NoMemory();
    if (!found || !group.pieces || !group.joined.at || read_makers(&makers, rows) < 0 ||
        find_groups(&text, &makers, &group, found) < 0)
        Py_CLEAR(found);
    Py_XDECREF(group.pieces);
    PyMem_Free(group.joined.at);
    close_makers(&makers);
    free_text(&text);
    return found;
}
