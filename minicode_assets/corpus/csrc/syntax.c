/* Facts of a Python text that parses, from its tokens: what annotate/syntax.py counts on the tree, at some hundred MB/s.

   The grammar of expressions is not needed for that. A parenthesis after the end of an atom is a call; an `else` inside
   of a line belongs to a conditional expression, a `for` inside of brackets to a comprehension; `and` and `or` make one
   node a run between separators of the same brackets. What it can't be sure of (match statements, names beyond ASCII,
   what later versions brought, depths near the parser's limit) it declines, and the tree is asked. */
#include "syntax.h"

static int is_datum(const Token *token) {
    switch (token->kind) {
    case NUMBER:
        return 1;
    case STRING:
        return !(token->word & IS_FORMATTED);
    case NAME:
        return token->word == FALSE_ || token->word == NONE_ || token->word == TRUE_;
    case OPERATOR:
        return token->word == '-' || token->word == '+';
    case SIGN:
        return token->word != '.' && token->word != '=' && token->word != '*' && token->word != '@' && token->word != '/';
    default:
        return 0;
    }
}

/* Whether the bracket at `i` opens a list, set, dictionary or tuple that holds nothing but literals. */
static int is_data(const Token *at, int32_t i) {
    int commas = 0, depth = 0;
    if (at[i].other <= i || (i > 0 && ends_atom(&at[i - 1])))
        return 0;
    for (int32_t k = i + 1; k < at[i].other; k++) {
        if (!is_datum(&at[k]))
            return 0;
        commas += depth == 0 && is_sign(&at[k], ',');
        depth += at[k].other > k ? 1 : at[k].other >= 0 ? -1 : 0;
    }
    return at[i].word != '(' || commas;
}

/* Counts the characters of tables of literals, brackets included. */
static void count_data(State *state) {
    const Token *at = state->tokens.at;
    for (int32_t i = 0; i < state->tokens.size; i++)
        if (at[i].kind == SIGN && is_data(at, i)) {
            state->facts.data_characters += at[at[i].other].end - at[i].start;
            i = at[i].other;
        }
}

static int read_facts(State *state) {
    int failed = read_tokens(&state->tokens, state->code, 0, state->size, 0);
    if (!failed)
        failed = match_brackets(state->tokens.at, 0, state->tokens.size);
    if (!failed)
        failed = analyse(state, 0, state->tokens.size, 0);
    if (!failed)
        count_data(state);
    return failed ? failed : read_blocks(state);
}

/* The facts, in the order of annotate/syntax.py's Syntax, of a text that parses; None where it declines. */
PyObject *syntax_of(PyObject *module, PyObject *object) {
    Text text;
    if (read_text(object, &text) < 0)
        return NULL;
    State state = {.code = text.at, .size = (int32_t)text.size};
    int failed = text.size >= INT32_MAX / 4 ? DECLINED : read_facts(&state);
    Facts *facts = &state.facts;
    facts->variables = (Py_ssize_t)state.num_names;
    PyMem_RawFree(state.tokens.at);
    PyMem_RawFree(state.names);
    free_text(&text);
    if (failed == NO_MEMORY)
        return PyErr_NoMemory();
    if (failed)
        Py_RETURN_NONE;
    return Py_BuildValue("nnnnnnnnnnnnnnnnn", facts->docstring_characters, facts->functions, facts->classes,
                         facts->imports, facts->asserts, facts->passes, facts->prints, facts->variables,
                         facts->branches, facts->calls, facts->simple_returns, facts->returns, facts->class_variables,
                         facts->docstrings, facts->docstring_lines, facts->stubs, facts->data_characters);
}
