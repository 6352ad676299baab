/* Statements of a text that parses: blocks, docstrings, assignments, functions without a body or with a simple one. */
#include "syntax.h"
#include <string.h>

typedef struct {
    int32_t indentation, statements, elifs;
    uint8_t kind; /* DEF, CLASS, IF for any other, NO_WORD for the module */
    uint8_t has_docstring, ends_simply, ends_empty;
} Block;

/* Whether the value of a `return` is nothing, a name, a constant or an attribute. */
static int is_simple(const Token *at, int32_t start, int32_t end) {
    if (start == end)
        return 1;
    while (start < end && is_sign(&at[start], '(') && at[start].other == end - 1)
        start++, end--;
    if (start == end || !(ends_atom(&at[start]) || at[start].other > start))
        return 0;
    int32_t i = start;
    int simple = at[i].other < i, is_attribute = 0, has_trailer = 0;
    if (at[i].kind == STRING)
        for (; i < end && at[i].kind == STRING; i++)
            simple &= !(at[i].word & IS_FORMATTED);
    else
        i = after(at, i);
    for (; i < end; has_trailer = 1) {
        is_attribute = is_sign(&at[i], '.') && i + 1 < end && at[i + 1].kind == NAME;
        if (!is_attribute && !is_sign(&at[i], '(') && !is_sign(&at[i], '['))
            return 0;
        i = is_attribute ? i + 2 : after(at, i);
    }
    return has_trailer ? is_attribute : simple;
}

static int is_empty(const Token *at, int32_t start, int32_t end) {
    while (start < end && is_sign(&at[start], '(') && at[start].other == end - 1)
        start++, end--;
    return end - start == 1 && (at[start].kind == ELLIPSIS || (at[start].kind == NAME && at[start].word == PASS));
}

static int is_name_alone(const Token *at, int32_t start, int32_t end) {
    while (start < end && is_sign(&at[start], '(') && at[start].other == end - 1)
        start++, end--;
    return end - start == 1 && is_identifier(&at[start]);
}

/* Binds the targets of an assignment, and counts the names among them where a class holds it. */
static int read_assignment(State *state, int32_t start, int32_t end, const Block *block) {
    const Token *at = state->tokens.at;
    int32_t lambdas = 0, segment = start;
    for (int32_t i = start; i < end; i = after(at, i)) {
        int annotates = is_sign(&at[i], ':') && !lambdas;
        if (at[i].kind == NAME && at[i].word == LAMBDA)
            lambdas++;
        else if (is_sign(&at[i], ':') && lambdas)
            lambdas--;
        else if (annotates || at[i].kind == AUGMENTED || (is_sign(&at[i], '=') && !lambdas)) {
            int failed = bind_targets(state, segment, i, 0);
            if (failed)
                return failed;
            if (block->kind == CLASS && at[i].kind != AUGMENTED)
                state->facts.class_variables += is_name_alone(at, segment, i);
            if (annotates || at[i].kind == AUGMENTED)
                return DONE;
            segment = i + 1;
        }
    }
    return DONE;
}

/* Characters of the value of a string literal that is neither bytes nor formatted. */
static Py_ssize_t value_size(const Py_UCS4 *code, const Token *token) {
    int32_t i = token->start, width = token->word & IS_TRIPLE ? 3 : 1, end = token->end - width;
    Py_ssize_t size = 0;
    while (code[i] != '"' && code[i] != '\'')
        i++;
    for (i += width; i < end; size++) {
        if (code[i] != '\\' || token->word & IS_RAW) {
            i = (int32_t)(code[i] == '\r' ? after_newline(code, i) : i + 1);
            continue;
        }
        Py_UCS4 c = code[i + 1];
        if (c == '\n' || c == '\r') {
            i = (int32_t)after_newline(code, i + 1);
            size--;
        } else if (c >= '0' && c <= '7') {
            for (int digits = 0; digits < 3 && code[i + 1] >= '0' && code[i + 1] <= '7' && i + 1 < end; digits++)
                i++;
            i++;
        } else if (c == 'N') {
            while (i < end && code[i] != '}')
                i++;
            i++;
        } else
            i += c == 'x' ? 4 : c == 'u' ? 6 : c == 'U' ? 10 : c < 128 && strchr("\\'\"abfnrtv", (int)c) ? 2 : 1;
    }
    return size;
}

/* Counts the docstring that stands in the tokens start to end. */
static void read_docstring(State *state, int32_t start, int32_t end) {
    const Token *at = state->tokens.at;
    const Py_UCS4 *code = state->code;
    state->facts.docstrings++;
    for (int32_t i = start; i < end; i++)
        state->facts.docstring_characters += value_size(code, &at[i]);
    int32_t place = at[start].start, last = at[end - 1].end;
    while (place > 0 && code[place - 1] != '\n' && code[place - 1] != '\r')
        place--;
    while (place < last) {
        int32_t stop = (int32_t)line_end(code, place, state->size);
        while (place < stop && is_space(code[place]))
            place++;
        state->facts.docstring_lines += place < stop;
        place = stop < state->size ? (int32_t)after_newline(code, stop) : stop;
    }
}

/* A statement without a block, tokens start to end. */
static int read_simple(State *state, int32_t start, int32_t end, Block *block) {
    const Token *at = state->tokens.at;
    block->ends_simply = block->ends_empty = 0;
    block->elifs = 0;
    if (!block->statements++ && block->kind != IF) {
        int32_t i = start, flags = 0;
        while (i < end && is_sign(&at[i], '('))
            i++;
        if (i > start && i < end && at[i].kind == STRING)
            return DECLINED;
        for (; i < end && at[i].kind == STRING; i++)
            flags |= at[i].word;
        if (i == end && i > start && !(flags & (IS_BYTES | IS_FORMATTED))) {
            read_docstring(state, start, end);
            block->has_docstring = 1;
            return DONE;
        }
    }
    if (at[start].kind == NAME && at[start].word == RETURN)
        block->ends_simply = (uint8_t)is_simple(at, start + 1, end);
    else if (is_empty(at, start, end))
        block->ends_empty = 1;
    else if (!is_keyword(&at[start]))
        return read_assignment(state, start, end, block);
    return DONE;
}

/* Statements from `i` to the end of the line; the token behind it, or DECLINED and NO_MEMORY below 0. */
static int read_line(State *state, int32_t i, Block *block, int32_t *next) {
    const Token *at = state->tokens.at;
    while (at[i].kind != NEWLINE) {
        int32_t stop = i;
        while (at[stop].kind != NEWLINE && !is_sign(&at[stop], ';'))
            stop = after(at, stop);
        int failed = stop > i ? read_simple(state, i, stop, block) : DONE;
        if (failed)
            return failed;
        i = stop + is_sign(&at[stop], ';');
    }
    *next = i + 1;
    return DONE;
}

static void close_block(State *state, const Block *block) {
    int32_t statements = block->statements - block->has_docstring;
    state->facts.simple_returns += block->kind == DEF && statements == 1 && block->ends_simply;
    state->facts.stubs += block->kind == DEF && (!statements || (statements == 1 && block->ends_empty));
}

static int begins_block(Word word) {
    switch (word) {
    case DEF: case CLASS: case IF: case ELIF: case ELSE: case FOR: case WHILE: case TRY: case EXCEPT: case FINALLY:
    case WITH: case ASYNC:
        return 1;
    default:
        return 0;
    }
}

/* The colon that ends the head of a compound statement whose first token is at `i`. */
static int32_t head_end(const Token *at, int32_t i) {
    int32_t lambdas = 0;
    for (; at[i].kind != NEWLINE; i = after(at, i)) {
        if (at[i].kind == NAME && at[i].word == LAMBDA)
            lambdas++;
        else if (is_sign(&at[i], ':') && !lambdas--)
            return i;
        lambdas = lambdas < 0 ? 0 : lambdas;
    }
    return -1;
}

int read_blocks(State *state) {
    const Token *at = state->tokens.at;
    Block blocks[MAX_DEPTH + 1] = {{0}};
    int32_t depth = 0, pending = -1, end = state->tokens.size;
    for (int32_t i = 0; i < end;) {
        int32_t indentation = at[i].end, first = i + 1;
        if (pending >= 0) {
            if (depth == MAX_DEPTH)
                return DECLINED;
            blocks[++depth] = (Block){.indentation = indentation, .kind = (uint8_t)pending};
            pending = -1;
        }
        while (depth && blocks[depth].indentation > indentation)
            close_block(state, &blocks[depth--]);
        Block *block = &blocks[depth];
        if (at[first].kind != NAME || !begins_block(at[first].word)) {
            int failed = read_line(state, first, block, &i);
            if (failed)
                return failed;
            continue;
        }
        block->statements++;
        block->ends_simply = block->ends_empty = 0;
        block->elifs = at[first].word == ELIF ? block->elifs + 1 : at[first].word == ELSE ? block->elifs : 0;
        int32_t colon = head_end(at, first);
        if (colon < 0 || block->elifs > MAX_ELIFS)
            return DECLINED;
        Word word = at[first].word == ASYNC ? at[first + 1].word : at[first].word;
        pending = word == DEF || word == CLASS ? (int32_t)word : IF;
        if (at[colon + 1].kind == NEWLINE) {
            i = colon + 2;
            continue;
        }
        Block inner = {.indentation = indentation, .kind = (uint8_t)pending};
        int failed = read_line(state, colon + 1, &inner, &i);
        if (failed)
            return failed;
        close_block(state, &inner);
        pending = -1;
    }
    while (depth)
        close_block(state, &blocks[depth--]);
    return DONE;
}
