/* The module minicode_assets.corpus.native; native.pyi says what each function gives. */
#include "text.h"

static PyMethodDef METHODS[] = {
    {"characters_of", characters_of, METH_O, NULL},
    {"encoded_of", encoded_of, METH_O, NULL},
    {"hex_words_of", hex_words_of, METH_O, NULL},
    {"joined_key_places", joined_key_places, METH_VARARGS, NULL},
    {"key_places", key_places, METH_VARARGS, NULL},
    {"lexemes_of", lexemes_of, METH_VARARGS, NULL},
    {"lines_of", lines_of, METH_O, NULL},
    {"most_dots_of", most_dots_of, METH_O, NULL},
    {"screen_texts", screen_texts, METH_VARARGS, NULL},
    {"spans_of", spans_of, METH_O, NULL},
    {"syntax_of", syntax_of, METH_O, NULL},
    {"words_of", words_of, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef MODULE = {PyModuleDef_HEAD_INIT, "native", NULL, -1, METHODS, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_native(void) { return PyModule_Create(&MODULE); }
