/* Which texts have an n-gram of any benchmark: the hashes of corpus/shingles.py and corpus/shapes.py, rolled on. */
#include "text.h"
#include <string.h>

#define BASE 0x9E3779B97F4A7C15ULL
#define GRAM_BASE 0xD1B54A32D192ED03ULL /* of n-grams, and of the codes of operators */
#define NAME_CODE 0x9E3779B97F4A7C15ULL
enum { LONG_WORD_BYTES = 64, MAX_GRAM = 64, FILTER_BITS = 20, MAX_RULES = 4 };

typedef struct {
    uint32_t n, least, width; /* words of an n-gram; so many different ones of a text, so few words apart, are a find */
    uint64_t power; /* GRAM_BASE to the n */
    uint64_t *keys; /* table, 0 for an empty place */
    size_t mask;
    uint8_t *filter; /* a bit for the first FILTER_BITS of each hash */
} Rule;

typedef struct {
    uint64_t ring[MAX_GRAM]; /* the latest codes, 0 before the first */
    uint64_t gram;
    uint32_t count;
} Roll;

typedef struct {
    uint64_t gram; /* the latest one that is looked for */
    uint32_t place, count;
} Chain;

typedef struct {
    Rule words[MAX_RULES];
    int num_words;
    Rule shapes; /* n is 0 where no shapes are looked for */
    Rule stable; /* words that are no names */
    PyObject *hash_long;
    uint8_t letters[256]; /* lower case, 0 for what is no letter */
    uint8_t operators[256];
} Screen;

static inline uint64_t spread(uint64_t hash) {
    hash ^= hash >> 32;
    hash *= 0xBF58476D1CE4E5B9ULL;
    return hash ^ (hash >> 29);
}

static inline int may_have(const Rule *rule, uint64_t hash) {
    uint64_t bits = hash >> (64 - FILTER_BITS);
    return rule->filter[bits >> 3] >> (bits & 7) & 1;
}

static inline int holds(const Rule *rule, uint64_t hash) {
    for (size_t place = hash & rule->mask; rule->keys[place]; place = (place + 1) & rule->mask)
        if (rule->keys[place] == hash)
            return 1;
    return 0;
}

static inline int has(const Rule *rule, uint64_t hash) { return may_have(rule, hash) && holds(rule, hash); }

static void close_rule(Rule *rule) {
    PyMem_RawFree(rule->keys);
    PyMem_RawFree(rule->filter);
}

/* A rule from its n and the hashes in a buffer of 64-bit numbers. */
static int open_rule(Rule *rule, Py_ssize_t n, PyObject *hashes, uint32_t least, uint32_t width) {
    Py_buffer view;
    if (n < 0 || n > MAX_GRAM) {
        PyErr_Format(PyExc_ValueError, "n-grams of %zd: found, expected at most %d", n, MAX_GRAM);
        return -1;
    }
    if (PyObject_GetBuffer(hashes, &view, PyBUF_C_CONTIGUOUS) < 0)
        return -1;
    size_t count = (size_t)view.len / sizeof(uint64_t), size = table_size(count);
    rule->n = (uint32_t)n;
    rule->least = least;
    rule->width = width;
    rule->power = 1;
    for (Py_ssize_t k = 0; k < n; k++)
        rule->power *= GRAM_BASE;
    rule->mask = size - 1;
    rule->keys = PyMem_RawCalloc(size, sizeof *rule->keys);
    rule->filter = PyMem_RawCalloc(1 << (FILTER_BITS - 3), 1);
    if (rule->keys && rule->filter)
        for (size_t k = 0; k < count; k++) {
            uint64_t hash;
            memcpy(&hash, (char *)view.buf + k * sizeof hash, sizeof hash);
            size_t place = hash & rule->mask;
            while (rule->keys[place] && rule->keys[place] != hash)
                place = (place + 1) & rule->mask;
            rule->keys[place] = hash;
            rule->filter[hash >> (64 - FILTER_BITS + 3)] |= (uint8_t)(1 << (hash >> (64 - FILTER_BITS) & 7));
        }
    PyBuffer_Release(&view);
    if (rule->keys && rule->filter)
        return 0;
    PyErr_NoMemory();
    return -1;
}

/* Adds a code; the hash of the n-gram that it ends, 0 before the first. */
static inline uint64_t roll(Roll *state, const Rule *rule, uint64_t code) {
    uint64_t old = state->ring[(state->count - rule->n) & (MAX_GRAM - 1)];
    state->gram = state->gram * GRAM_BASE + code - old * rule->power;
    state->ring[state->count++ & (MAX_GRAM - 1)] = code;
    return state->count >= rule->n ? spread(state->gram) : 0;
}

/* Whether an n-gram that is looked for is the last of enough, each no further than `width` words from the one before. */
static inline int is_enough(Chain *chain, const Rule *rule, uint64_t gram, uint32_t place) {
    if (place - chain->place > rule->width)
        chain->count = 0;
    if (!chain->count || chain->gram != gram)
        chain->count++;
    chain->gram = gram;
    chain->place = place;
    return chain->count >= rule->least;
}

/* The hash of a word as shingles.hash_words gives it: of its letters, with eight zeros behind, eight at a time. */
static inline uint64_t hash_letters(const uint8_t *letters, Py_ssize_t size) {
    uint64_t hash = 0, chunk;
    for (Py_ssize_t done = 0; done < size; done += 8) {
        memcpy(&chunk, letters + done, sizeof chunk);
#if PY_BIG_ENDIAN
        chunk = __builtin_bswap64(chunk);
#endif
        hash = spread(done ? hash * BASE + chunk : chunk + (uint64_t)size);
    }
    return hash;
}

static int hash_long_word(const Screen *screen, const uint8_t *text, Py_ssize_t size, uint64_t *hash) {
    PyObject *answer = PyObject_CallFunction(screen->hash_long, "y#", (const char *)text, size);
    *hash = answer ? PyLong_AsUnsignedLongLongMask(answer) : 0;
    Py_XDECREF(answer);
    return PyErr_Occurred() ? -1 : 0;
}

/* What a text has: bit k for enough n-grams of rule k, the bit behind them for shapes; -1 with an exception. */
static int examine(const Screen *screen, const uint8_t *text, Py_ssize_t size) {
    int found = 0;
    Chain chains[MAX_RULES] = {0};
    Roll words[MAX_RULES] = {0}, tokens = {0};
    uint8_t word[LONG_WORD_BYTES + 8];
    for (Py_ssize_t i = 0; i < size;) {
        uint64_t code;
        if (!screen->letters[text[i]]) {
            code = screen->operators[text[i]] ? (text[i] + 1ULL) * GRAM_BASE : 0;
            if (code && screen->shapes.n)
                found |= has(&screen->shapes, roll(&tokens, &screen->shapes, code)) << screen->num_words;
            i++;
            continue;
        }
        Py_ssize_t start = i;
        for (uint8_t letter; i < size && (letter = screen->letters[text[i]]); i++)
            if (i - start < LONG_WORD_BYTES)
                word[i - start] = letter;
        if (i - start <= LONG_WORD_BYTES) {
            memset(word + (i - start), 0, 8);
            code = hash_letters(word, i - start);
        } else if (hash_long_word(screen, text + start, i - start, &code) < 0)
            return -1;
        uint64_t gram = 0;
        int may = 0;
        for (int k = 0; k < screen->num_words; k++) {
            const Rule *rule = &screen->words[k];
            if (!k || rule->n != rule[-1].n)
                may = may_have(rule, gram = roll(&words[k], rule, code));
            if (may && holds(rule, gram) && is_enough(&chains[k], rule, gram, words[0].count))
                found |= 1 << k;
        }
        if (!screen->shapes.n)
            continue;
        int is_number = text[start] >= '0' && text[start] <= '9', is_attribute = start && text[start - 1] == '.';
        code = is_number || is_attribute || has(&screen->stable, code) ? code | 1 : NAME_CODE;
        found |= has(&screen->shapes, roll(&tokens, &screen->shapes, code)) << screen->num_words;
    }
    return found;
}

static int read_screen(Screen *screen, PyObject *rules, Py_ssize_t shape_n, PyObject *shapes, PyObject *stable) {
    for (int c = 0; c < 256; c++)
        screen->letters[c] = c >= 128 || is_word((Py_UCS4)c) ? (uint8_t)(c >= 'A' && c <= 'Z' ? c + 32 : c) : 0;
    screen->num_words = (int)PyTuple_GET_SIZE(rules);
    if (screen->num_words > MAX_RULES) {
        PyErr_SetString(PyExc_ValueError, "more than 4 rules");
        return -1;
    }
    for (int k = 0; k < screen->num_words; k++) {
        Py_ssize_t n;
        unsigned int least, width;
        PyObject *hashes;
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(rules, k), "nOII", &n, &hashes, &least, &width) ||
            open_rule(&screen->words[k], n, hashes, least, width) < 0)
            return -1;
    }
    for (int k = screen->num_words - 1; k > 0; k--) /* neighbours with the same n share a roll and a filter */
        for (size_t b = 0; screen->words[k].n == screen->words[k - 1].n && b < 1 << (FILTER_BITS - 3); b++)
            screen->words[k - 1].filter[b] |= screen->words[k].filter[b];
    return open_rule(&screen->shapes, shape_n, shapes, 1, 0) < 0 || open_rule(&screen->stable, 1, stable, 1, 0) < 0 ? -1 : 0;
}

static PyObject *suspects_of(const Screen *screen, PyObject *texts) {
    PyObject *found = PyList_New(0);
    for (Py_ssize_t k = 0; found && k < PyList_GET_SIZE(texts); k++) {
        char *text;
        Py_ssize_t size;
        int has_any = PyBytes_AsStringAndSize(PyList_GET_ITEM(texts, k), &text, &size);
        if (!has_any)
            has_any = examine(screen, (const uint8_t *)text, size);
        PyObject *hit = has_any > 0 ? Py_BuildValue("ni", k, has_any) : NULL;
        if (has_any < 0 || (has_any && (!hit || PyList_Append(found, hit) < 0)))
            Py_CLEAR(found);
        Py_XDECREF(hit);
    }
    return found;
}

/* (texts, ((n, hashes, least, width), ...), n of shapes, their hashes, hashes of words that are no names, operators, hash of a
   long word): numbers of the texts that have so many of these n-grams of words, or one of tokens, each with the bits of
   examine */
PyObject *screen_texts(PyObject *module, PyObject *arguments) {
    PyObject *texts, *rules, *shapes, *stable, *operators, *found = NULL;
    Py_ssize_t shape_n;
    Screen screen = {0};
    if (!PyArg_ParseTuple(arguments, "O!O!nOOO!O", &PyList_Type, &texts, &PyTuple_Type, &rules, &shape_n, &shapes,
                          &stable, &PyBytes_Type, &operators, &screen.hash_long))
        return NULL;
    for (Py_ssize_t k = 0; k < PyBytes_GET_SIZE(operators); k++)
        screen.operators[(uint8_t)PyBytes_AS_STRING(operators)[k]] = 1;
    if (read_screen(&screen, rules, shape_n, shapes, stable) == 0)
        found = suspects_of(&screen, texts);
    for (int k = 0; k < MAX_RULES; k++)
        close_rule(&screen.words[k]);
    close_rule(&screen.shapes);
    close_rule(&screen.stable);
    return found;
}
