/* Characters, lines and words of a text, and how much of it repeats. Twins: annotate/characters.py, annotate/words.py. */
#include "text.h"

PyObject *characters_of(PyObject *module, PyObject *object) {
    Text text;
    if (read_text(object, &text) < 0)
        return NULL;
    Py_ssize_t alphabetic = 0, alphanumeric = 0, spaces = 0, digits = 0, lines = 0, in_lines = 0, longest = 0;
    for (Py_ssize_t i = 0; i < text.size; i++) {
        Py_UCS4 c = text.at[i];
        if (c < 128) {
            int digit = c >= '0' && c <= '9', letter = (c | 32) >= 'a' && (c | 32) <= 'z';
            digits += digit;
            alphabetic += letter;
            alphanumeric += digit | letter;
            spaces += is_space(c);
        } else {
            digits += Py_UNICODE_ISDIGIT(c);
            alphabetic += Py_UNICODE_ISALPHA(c);
            alphanumeric += Py_UNICODE_ISALNUM(c);
            spaces += Py_UNICODE_ISSPACE(c);
        }
    }
    for (Py_ssize_t start = 0; start < text.size;) {
        Py_ssize_t end = line_end(text.at, start, text.size);
        lines++;
        in_lines += end - start;
        longest = end - start > longest ? end - start : longest;
        start = end < text.size ? after_newline(text.at, end) : end;
    }
    Py_ssize_t size = text.size;
    free_text(&text);
    return Py_BuildValue("nnnnnnnn", size, lines, in_lines, longest, alphabetic, alphanumeric, spaces, digits);
}

typedef struct {
    uint64_t *keys;
    int32_t *counts; /* 0 marks an empty place */
    int32_t *firsts; /* what stood first under the key */
    size_t mask;
} Table;

static int open_table(Table *table, size_t count) {
    size_t size = table_size(count);
    table->mask = size - 1;
    table->keys = PyMem_RawMalloc(size * sizeof *table->keys);
    table->counts = PyMem_RawCalloc(size, sizeof *table->counts);
    table->firsts = PyMem_RawMalloc(size * sizeof *table->firsts);
    return table->keys && table->counts && table->firsts ? 0 : -1;
}

static void close_table(Table *table) {
    PyMem_RawFree(table->keys);
    PyMem_RawFree(table->counts);
    PyMem_RawFree(table->firsts);
}

/* Counts a key, which comes from hash_of or mixed, and gives its place. */
static inline int32_t count_key(Table *table, uint64_t key, int32_t first) {
    size_t place = key & table->mask;
    while (table->counts[place] && table->keys[place] != key)
        place = (place + 1) & table->mask;
    if (!table->counts[place]++) {
        table->keys[place] = key;
        table->firsts[place] = first;
    }
    return (int32_t)place;
}

/* (lines with more than one character when stripped, different ones, those with an equal one, lines that aren't blank) */
PyObject *lines_of(PyObject *module, PyObject *object) {
    Text text;
    Table table = {0};
    if (read_text(object, &text) < 0)
        return NULL;
    size_t num_lines = 1;
    for (Py_ssize_t i = 0; i < text.size; i++)
        num_lines += text.at[i] == '\n' || text.at[i] == '\r';
    if (open_table(&table, num_lines) < 0) {
        close_table(&table);
        free_text(&text);
        return PyErr_NoMemory();
    }
    Py_ssize_t counted = 0, distinct = 0, repeated = 0, filled = 0;
    for (Py_ssize_t start = 0; start < text.size;) {
        Py_ssize_t stop = line_end(text.at, start, text.size), end = stop;
        while (start < end && is_space(text.at[start]))
            start++;
        while (end > start && is_space(text.at[end - 1]))
            end--;
        filled += end > start;
        if (end - start > 1) {
            counted++;
            count_key(&table, hash_of(text.at + start, end - start), 0);
        }
        start = stop < text.size ? after_newline(text.at, stop) : stop;
    }
    for (size_t place = 0; place <= table.mask; place++) {
        distinct += table.counts[place] > 0;
        repeated += table.counts[place] > 1 ? table.counts[place] : 0;
    }
    close_table(&table);
    free_text(&text);
    return Py_BuildValue("nnnn", counted, distinct, repeated, filled);
}

typedef struct {
    int32_t num; /* of words */
    uint64_t *hashes;
    int64_t *ends; /* characters of the words before each */
    int32_t size;  /* candidates for repeated n-grams: where they start, ascending, their hashes and table places */
    int32_t *starts;
    uint64_t *grams;
    int32_t *places;
} Words;

static void close_words(Words *words) {
    PyMem_RawFree(words->hashes);
    PyMem_RawFree(words->ends);
    PyMem_RawFree(words->starts);
    PyMem_RawFree(words->grams);
    PyMem_RawFree(words->places);
}

static int open_words(Words *words, const Text *text, int64_t long_length, int64_t *long_characters) {
    size_t room = (size_t)text->size / 2 + 2;
    words->hashes = PyMem_RawMalloc(room * sizeof *words->hashes);
    words->ends = PyMem_RawMalloc(room * sizeof *words->ends);
    words->starts = PyMem_RawMalloc(room * sizeof *words->starts);
    words->grams = PyMem_RawMalloc(room * sizeof *words->grams);
    words->places = PyMem_RawMalloc(room * sizeof *words->places);
    if (!words->hashes || !words->ends || !words->starts || !words->grams || !words->places)
        return -1;
    words->num = 0;
    words->ends[0] = 0;
    for (Py_ssize_t i = 0; i < text->size;) {
        if (is_space(text->at[i])) {
            i++;
            continue;
        }
        Py_ssize_t start = i;
        while (i < text->size && !is_space(text->at[i]))
            i++;
        words->hashes[words->num] = hash_of(text->at + start, i - start);
        words->ends[words->num + 1] = words->ends[words->num] + i - start;
        *long_characters += i - start > long_length ? i - start : 0;
        words->num++;
    }
    return 0;
}

/* Candidates of n words: starts at which every run of `shorter` words within n is repeated. */
static void lengthen(Words *words, int shorter, int n) {
    int32_t step = n - shorter, kept = 0;
    for (int32_t k = 0; k < words->size; k++) {
        int32_t start = words->starts[k];
        if (start + n > words->num)
            continue;
        if (shorter > 1 && (k + step >= words->size || words->starts[k + step] - start != step))
            continue;
        uint64_t gram = words->grams[k];
        for (int word = shorter; word < n; word++)
            gram = gram * 0x9E3779B97F4A7C15ULL + words->hashes[start + word];
        words->starts[kept] = start;
        words->grams[kept++] = gram;
    }
    words->size = kept;
}

/* Keeps the n-grams that occur more than once. `most` is how often the most frequent occurs (0 if none is repeated), and
   `weight` its characters; of several the longest counts. */
static int keep_repeated(Words *words, int n, int64_t *most, int64_t *weight) {
    Table table = {0};
    *most = *weight = 0;
    if (!words->size)
        return 0;
    if (open_table(&table, (size_t)words->size) < 0) {
        close_table(&table);
        return -1;
    }
    for (int32_t k = 0; k < words->size; k++)
        words->places[k] = count_key(&table, mixed(words->grams[k]), words->starts[k]);
    int32_t kept = 0;
    for (int32_t k = 0; k < words->size; k++) {
        int32_t count = table.counts[words->places[k]], first = table.firsts[words->places[k]];
        if (count < 2)
            continue;
        int64_t characters = words->ends[first + n] - words->ends[first];
        if (count > *most || (count == *most && characters > *weight)) {
            *most = count;
            *weight = characters;
        }
        words->starts[kept] = words->starts[k];
        words->grams[kept++] = words->grams[k];
    }
    words->size = kept;
    close_table(&table);
    return 0;
}

/* Characters of the words inside the candidates; overlaps count once. */
static int64_t covered(const Words *words, int n) {
    int64_t total = 0;
    for (int32_t k = 0; k < words->size; k++) {
        int32_t start = words->starts[k], stop = start + n;
        if (k + 1 < words->size && words->starts[k + 1] < stop)
            stop = words->starts[k + 1];
        total += words->ends[stop] - words->ends[start];
    }
    return total;
}

/* (words, their characters, those in long words, then for n = 2, 3, 4: how often the most frequent n-gram occurs and its
   characters, then for n = 5, 6, 10: characters covered by repeated n-grams) */
PyObject *words_of(PyObject *module, PyObject *arguments) {
    static const int sizes[] = {1, 2, 3, 4, 5, 6, 10};
    PyObject *object;
    Py_ssize_t long_length;
    Text text;
    Words words = {0};
    int64_t most[7] = {0}, weight[7] = {0}, covers[7] = {0}, long_characters = 0;
    if (!PyArg_ParseTuple(arguments, "On", &object, &long_length) || read_text(object, &text) < 0)
        return NULL;
    int failed = text.size >= INT32_MAX || open_words(&words, &text, long_length, &long_characters) < 0;
    free_text(&text);
    if (!failed) {
        words.size = words.num;
        for (int32_t k = 0; k < words.num; k++) {
            words.starts[k] = k;
            words.grams[k] = words.hashes[k];
        }
        for (int step = 1; step < 7 && words.size && !failed; step++) {
            lengthen(&words, sizes[step - 1], sizes[step]);
            failed = keep_repeated(&words, sizes[step], &most[step], &weight[step]) < 0;
            covers[step] = covered(&words, sizes[step]);
        }
    }
    int32_t num = words.num;
    int64_t total = failed ? 0 : words.ends[num];
    close_words(&words);
    if (failed)
        return PyErr_NoMemory();
    return Py_BuildValue("iLLLLLLLLLLL", num, total, long_characters, most[1], weight[1], most[2], weight[2], most[3],
                         weight[3], covers[4], covers[5], covers[6]);
}
