/* A text as code points, and the small things that all kernels need. Every kernel is a function from str to numbers
   that has a twin in Python with the same figures (tests/corpus/test_native.py compares them). */
#ifndef MINICODE_TEXT_H
#define MINICODE_TEXT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

typedef struct {
    Py_UCS4 *at; /* code points, with one 0 behind the last */
    Py_ssize_t size;
} Text;

/* -1 with an exception unless `object` is a str; free_text after use. */
static inline int read_text(PyObject *object, Text *text) {
    if (!PyUnicode_Check(object)) {
        PyErr_Format(PyExc_TypeError, "found %s, expected str", Py_TYPE(object)->tp_name);
        return -1;
    }
    text->at = PyUnicode_AsUCS4Copy(object);
    text->size = PyUnicode_GET_LENGTH(object);
    return text->at ? 0 : -1;
}

static inline void free_text(Text *text) { PyMem_Free(text->at); }

enum { IN_SPACE = 1, IN_WORD = 2, IN_HEX = 4, IN_BASE64 = 8, IN_KEY = 16, IN_BYTES = 32, IN_ESCAPES = 64 };

/* Classes of the characters of ASCII. */
extern const uint8_t CLASSES[128];

static inline int is_space(Py_UCS4 c) { return c < 128 ? CLASSES[c] & IN_SPACE : (int)Py_UNICODE_ISSPACE(c); }

static inline int is_word(Py_UCS4 c) { return (c < 128 ? CLASSES[c] & IN_WORD : (int)Py_UNICODE_ISALNUM(c)) != 0; }

static inline int is_hex(Py_UCS4 c) { return c < 128 && CLASSES[c] & IN_HEX; }

/* Where the line after the end of line at `place` begins: \r\n, \r and \n end lines, and nothing else. */
static inline Py_ssize_t after_newline(const Py_UCS4 *at, Py_ssize_t place) {
    return place + 1 + (at[place] == '\r' && at[place + 1] == '\n');
}

/* Where the line ends in which `place` stands: at its \r or \n, or at `end`. */
static inline Py_ssize_t line_end(const Py_UCS4 *at, Py_ssize_t place, Py_ssize_t end) {
    while (place < end && at[place] != '\n' && at[place] != '\r')
        place++;
    return place;
}

static inline uint64_t mixed(uint64_t hash) {
    hash ^= hash >> 32;
    hash *= 0xD6E8FEB86659FD93ULL;
    hash ^= hash >> 32;
    hash *= 0xD6E8FEB86659FD93ULL;
    return hash ^ (hash >> 32);
}

static inline uint64_t hash_of(const Py_UCS4 *at, Py_ssize_t size) {
    uint64_t hash = 0x9E3779B97F4A7C15ULL ^ (uint64_t)size;
    for (Py_ssize_t i = 0; i < size; i++)
        hash = (hash ^ at[i]) * 0xA0761D6478BD642FULL + (hash >> 29);
    return mixed(hash);
}

/* Least power of two that leaves half of a table for `count` keys empty. */
static inline size_t table_size(size_t count) {
    size_t size = 16;
    while (size < 2 * count)
        size *= 2;
    return size;
}

/* Where the literal that begins with the quotes at `place` ends; a literal that never ends reaches the end. */
Py_ssize_t after_literal(const Py_UCS4 *at, Py_ssize_t place, Py_ssize_t size);

PyObject *characters_of(PyObject *module, PyObject *text);
PyObject *encoded_of(PyObject *module, PyObject *text);
PyObject *hex_words_of(PyObject *module, PyObject *text);
PyObject *joined_key_places(PyObject *module, PyObject *arguments);
PyObject *key_places(PyObject *module, PyObject *arguments);
PyObject *lexemes_of(PyObject *module, PyObject *arguments);
PyObject *lines_of(PyObject *module, PyObject *text);
PyObject *most_dots_of(PyObject *module, PyObject *text);
PyObject *screen_texts(PyObject *module, PyObject *arguments);
PyObject *spans_of(PyObject *module, PyObject *text);
PyObject *syntax_of(PyObject *module, PyObject *text);
PyObject *words_of(PyObject *module, PyObject *arguments);

#endif
