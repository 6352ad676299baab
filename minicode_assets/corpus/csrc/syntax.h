/* What the parts of syntax.c share: tokens, what is counted, and how far anything may go before the tree is asked. */
#ifndef MINICODE_SYNTAX_H
#define MINICODE_SYNTAX_H

#include "tokens.h"

enum { MAX_DEPTH = 90, MAX_RUN = 400, MAX_ELIFS = 100, MAX_NESTED_FORMATS = 6 };
enum { DONE = 0, NO_MEMORY = -1, DECLINED = 1 };

typedef struct {
    Py_ssize_t docstring_characters, functions, classes, imports, asserts, passes, prints, variables, branches, calls,
        simple_returns, returns, class_variables, docstrings, docstring_lines, stubs, data_characters;
} Facts;

typedef struct {
    const Py_UCS4 *code;
    int32_t size;
    Tokens tokens;
    Facts facts;
    uint64_t *names; /* table of the hashes of bound names, 0 for an empty place */
    size_t num_names, room_names;
} State;

static inline int is_sign(const Token *token, char sign) { return token->kind == SIGN && token->word == (uint8_t)sign; }

static inline int is_keyword(const Token *token) {
    return token->kind == NAME && token->word && token->word <= LAST_KEYWORD;
}

static inline int is_identifier(const Token *token) {
    return token->kind == NAME && (!token->word || token->word > TRUE_);
}

static inline int ends_atom(const Token *token) {
    switch (token->kind) {
    case NAME:
        return !is_keyword(token);
    case NUMBER:
    case STRING:
    case ELLIPSIS:
        return 1;
    case SIGN:
        return token->word == ')' || token->word == ']' || token->word == '}';
    default:
        return 0;
    }
}

/* The token behind the one at `i`, and behind the partner of an opening bracket. */
static inline int32_t after(const Token *at, int32_t i) { return at[i].other > i ? at[i].other + 1 : i + 1; }

/* Joins brackets with their partners, tokens start to end. */
int match_brackets(Token *at, int32_t start, int32_t end);

/* Binds the names and attributes of a target list, tokens start to end; `depth` is 0. */
int bind_targets(State *state, int32_t start, int32_t end, int depth);

/* Counts and binds what can be told without knowing the statements, tokens start to end; `formats` is 0. */
int analyse(State *state, int32_t start, int32_t end, int formats);

/* Follows the blocks of all statements: docstrings, simple functions, assignments. */
int read_blocks(State *state);

#endif
