/* Facts of a Python text that parses, from its tokens: what annotate/syntax.py counts on the tree, at some hundred MB/s.

   The grammar of expressions is not needed for that. A parenthesis after the end of an atom is a call; an `else` inside
   of a line belongs to a conditional expression, a `for` inside of brackets to a comprehension; `and` and `or` make one
   node a run between separators of the same brackets. What it can't be sure of (match statements, names beyond ASCII,
   what later versions brought, depths near the parser's limit) it declines, and the tree is asked. */
#include "tokens.h"
#include <string.h>

enum { MAX_DEPTH = 90, MAX_RUN = 400, MAX_ELIFS = 100, MAX_NESTED_FORMATS = 6 };
enum { DONE = 0, NO_MEMORY = -1, DECLINED = 1 };

typedef struct {
    Py_ssize_t docstring_characters, functions, classes, imports, asserts, passes, prints, variables, branches, calls,
        simple_returns, returns, class_variables, docstrings, docstring_lines, stubs;
} Facts;

typedef struct {
    int32_t open;    /* token of the bracket, or -1 */
    int32_t lambdas; /* parameter lists of lambdas that are open */
    int32_t run;     /* tokens since the last separator, those around the bracket included */
    uint8_t parameters, awaits_parameter, has_for, in_and, in_or;
} Level;

typedef struct {
    int32_t indentation, statements, elifs;
    uint8_t kind; /* DEF, CLASS, IF for any other, NO_WORD for the module */
    uint8_t has_docstring, ends_simply, ends_empty;
} Block;

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

static int grow_names(State *state) {
    size_t room = state->room_names ? state->room_names * 2 : 256;
    uint64_t *names = PyMem_RawCalloc(room, sizeof *names);
    if (!names)
        return NO_MEMORY;
    for (size_t k = 0; k < state->room_names; k++) {
        if (!state->names[k])
            continue;
        size_t place = state->names[k] & (room - 1);
        while (names[place])
            place = (place + 1) & (room - 1);
        names[place] = state->names[k];
    }
    PyMem_RawFree(state->names);
    state->names = names;
    state->room_names = room;
    return DONE;
}

static int bind(State *state, const Token *token) {
    if (2 * (state->num_names + 1) > state->room_names && grow_names(state))
        return NO_MEMORY;
    uint64_t hash = hash_of(state->code + token->start, token->end - token->start) | 1;
    size_t place = hash & (state->room_names - 1);
    while (state->names[place] && state->names[place] != hash)
        place = (place + 1) & (state->room_names - 1);
    state->num_names += !state->names[place];
    state->names[place] = hash;
    return DONE;
}

/* The token behind the one at `i`, and behind the partner of an opening bracket. */
static inline int32_t after(const Token *at, int32_t i) { return at[i].other > i ? at[i].other + 1 : i + 1; }

/* Binds the names and attributes of a target list, tokens start to end. */
static int bind_targets(State *state, int32_t start, int32_t end, int depth) {
    const Token *at = state->tokens.at;
    if (depth > MAX_DEPTH)
        return DECLINED;
    while (start < end) {
        int32_t stop = start;
        while (stop < end && !is_sign(&at[stop], ','))
            stop = after(at, stop);
        if (stop > end)
            return DECLINED;
        int32_t first = start + (start < stop && is_sign(&at[start], '*'));
        int failed = DONE;
        if (first < stop && (is_sign(&at[first], '(') || is_sign(&at[first], '[')) && at[first].other == stop - 1)
            failed = bind_targets(state, first + 1, stop - 1, depth + 1);
        else if (first < stop && is_identifier(&at[stop - 1]) && (stop - first == 1 || is_sign(&at[stop - 2], '.')))
            failed = bind(state, &at[stop - 1]);
        if (failed)
            return failed;
        start = stop + 1;
    }
    return DONE;
}

/* Joins brackets with their partners. */
static int match_brackets(Token *at, int32_t start, int32_t end) {
    int32_t open[MAX_DEPTH], depth = 0;
    for (int32_t i = start; i < end; i++) {
        if (at[i].kind != SIGN)
            continue;
        if (at[i].word == '(' || at[i].word == '[' || at[i].word == '{') {
            if (depth == MAX_DEPTH)
                return DECLINED;
            open[depth++] = i;
        } else if (at[i].word == ')' || at[i].word == ']' || at[i].word == '}') {
            if (!depth)
                return DECLINED;
            at[i].other = open[--depth];
            at[at[i].other].other = i;
        }
    }
    return depth ? DECLINED : DONE;
}

static int analyse(State *state, int32_t start, int32_t end, int formats);

/* Analyses the code between start and end of the text as an expression of its own. */
static int analyse_part(State *state, int32_t start, int32_t end, int formats) {
    int32_t before = state->tokens.size;
    int failed = read_tokens(&state->tokens, state->code, start, end, 1);
    if (!failed)
        failed = match_brackets(state->tokens.at, before, state->tokens.size);
    if (!failed)
        failed = analyse(state, before, state->tokens.size, formats + 1);
    state->tokens.size = before;
    return failed;
}

/* The end of the expression of a replacement field, or -1. */
static int32_t after_expression(const Py_UCS4 *code, int32_t i, int32_t end) {
    int depth = 0;
    for (; i < end; i++) {
        Py_UCS4 c = code[i], next = i + 1 < end ? code[i + 1] : 0;
        if (c == '\\' || c == '#')
            return -1;
        if (c == '"' || c == '\'') {
            int triple = next == c && i + 2 < end && code[i + 2] == c;
            for (i += triple ? 3 : 1; i < end; i++)
                if (code[i] == '\\')
                    return -1;
                else if (code[i] == c && (!triple || (i + 2 < end && code[i + 1] == c && code[i + 2] == c)))
                    break;
            i += triple ? 2 : 0;
        } else if (c == '(' || c == '[' || c == '{')
            depth++;
        else if (depth && (c == ')' || c == ']' || c == '}'))
            depth--;
        else if (!depth && (c == '=' || c == '!' || c == '<' || c == '>') && next == '=')
            i++;
        else if (!depth && (c == '!' || c == ':' || c == '}' || c == '='))
            return i;
    }
    return -1;
}

/* Analyses the replacement fields of an f-string, or of a format specification (nested), from `i` on; `place` is where it
   ends. */
static int analyse_fields(State *state, int32_t i, int32_t end, int raw, int nested, int formats, int32_t *place) {
    const Py_UCS4 *code = state->code;
    if (nested > 2 || formats > MAX_NESTED_FORMATS)
        return DECLINED;
    while (i < end) {
        Py_UCS4 c = code[i], next = i + 1 < end ? code[i + 1] : 0;
        if (c == '\\' && !raw) {
            if (next == '{' || next == '}' || next == 'N')
                return DECLINED;
            i += 2;
        } else if (c == '}') {
            if (nested)
                break;
            if (next != '}')
                return DECLINED;
            i += 2;
        } else if (c == '{' && next == '{') {
            if (nested)
                return DECLINED;
            i += 2;
        } else if (c == '{') {
            int32_t stop = after_expression(code, i + 1, end);
            if (stop < 0)
                return DECLINED;
            int failed = analyse_part(state, i + 1, stop, formats);
            for (stop += code[stop] == '='; stop < end && is_space(code[stop]);)
                stop++;
            if (stop + 1 < end && code[stop] == '!')
                stop += 2;
            if (!failed && stop < end && code[stop] == ':')
                failed = analyse_fields(state, stop + 1, end, raw, nested + 1, formats, &stop);
            if (failed)
                return failed;
            if (stop >= end || code[stop] != '}')
                return DECLINED;
            i = stop + 1;
        } else
            i++;
    }
    *place = i;
    return nested && i >= end ? DECLINED : DONE;
}

static int analyse_string(State *state, const Token *token, int formats) {
    int32_t start = token->start, width = token->word & IS_TRIPLE ? 3 : 1, place;
    if (!(token->word & IS_FORMATTED))
        return DONE;
    while (state->code[start] != '"' && state->code[start] != '\'')
        start++;
    return analyse_fields(state, start + width, token->end - width, token->word & IS_RAW, 0, formats, &place);
}

/* What an opening parenthesis is: a call, the parameters of a function, or neither. */
static int open_parenthesis(State *state, int32_t start, int32_t i, Level *level) {
    const Token *at = state->tokens.at;
    if (i == start || !ends_atom(&at[i - 1]))
        return DONE;
    if (i - 1 > start && at[i - 2].kind == NAME && (at[i - 2].word == DEF || at[i - 2].word == CLASS)) {
        level->parameters = level->awaits_parameter = at[i - 2].word == DEF;
        return DONE;
    }
    state->facts.calls++;
    if (at[i - 1].kind == NAME && at[i - 1].word == PRINT)
        state->facts.prints += i - 1 == start || !is_sign(&at[i - 2], '.');
    int32_t k = i - 1;
    while (k > start && is_sign(&at[k], ')'))
        k--;
    return k < i - 1 && at[k].kind == NAME && at[k].word == PRINT && is_sign(&at[k - 1], '(') ? DECLINED : DONE;
}

static inline void separate(Level *level, int32_t base) {
    level->in_and = level->in_or = 0;
    level->run = base;
}

/* A `for`: a statement at the beginning of its line, else a comprehension, one for all that stand in the same brackets. */
static int bind_loop(State *state, int32_t i, int32_t end, int is_statement, Level *level) {
    const Token *at = state->tokens.at;
    int32_t stop = i + 1;
    while (stop < end && !(at[stop].kind == NAME && at[stop].word == IN))
        stop = after(at, stop);
    state->facts.branches += is_statement || !level->has_for;
    level->has_for |= !is_statement;
    return stop < end ? bind_targets(state, i + 1, stop, 0) : DECLINED;
}

static int bind_context(State *state, int32_t i, int32_t end) {
    const Token *at = state->tokens.at;
    int32_t stop = i + 1;
    while (stop < end && !is_sign(&at[stop], ',') && !is_sign(&at[stop], ':') && !is_sign(&at[stop], ')'))
        stop = after(at, stop);
    return bind_targets(state, i + 1, stop, 0);
}

/* Counts what a keyword stands for. `leads`: it is the first token of its line, an `async` aside. */
static int count_keyword(State *state, int32_t i, int32_t end, int leads, int in_with, int32_t base, Level *level) {
    Facts *facts = &state->facts;
    switch (state->tokens.at[i].word) {
    case AND:
        facts->branches += !level->in_and;
        level->in_and = 1;
        return DONE;
    case OR:
        facts->branches += !level->in_or;
        level->in_or = 1;
        level->in_and = 0;
        return DONE;
    case NOT: case IN: case IS: case AWAIT: case ASYNC:
        return DONE;
    case AS:
        separate(level, base);
        return in_with ? bind_context(state, i, end) : DONE;
    case FOR:
        separate(level, base);
        return bind_loop(state, i, end, leads, level);
    case LAMBDA:
        level->lambdas++;
        level->awaits_parameter = 1;
        break;
    case IF:
        facts->branches += leads;
        break;
    case ELSE:
        facts->branches += !leads;
        break;
    case ELIF: case WHILE: case TRY: case WITH:
        facts->branches++;
        break;
    case DEF:
        facts->functions++;
        break;
    case CLASS:
        facts->classes++;
        break;
    case IMPORT:
        facts->imports++;
        break;
    case ASSERT:
        facts->asserts++;
        break;
    case PASS:
        facts->passes++;
        break;
    case RETURN:
        facts->returns++;
        break;
    default:
        break;
    }
    separate(level, base);
    return DONE;
}

/* `match`, `case` and `type` that begin a line may be statements; a bracket behind a function's name, type parameters. */
static int is_odd(const Token *at, int32_t i, int32_t start) {
    int begins = i == start || at[i - 1].kind == LINE;
    if ((at[i].word == MATCH || at[i].word == CASE) && begins)
        return !(is_sign(&at[i + 1], '=') || is_sign(&at[i + 1], '.') || is_sign(&at[i + 1], ',') ||
                 is_sign(&at[i + 1], ':') || at[i + 1].kind == AUGMENTED || at[i + 1].kind == NEWLINE);
    if (at[i].word == TYPE && begins)
        return at[i + 1].kind == NAME;
    return i > start && at[i - 1].kind == NAME && (at[i - 1].word == DEF || at[i - 1].word == CLASS) &&
           is_sign(&at[i + 1], '[');
}

/* Counts and binds what can be told without knowing the statements, tokens start to end. */
static int analyse(State *state, int32_t start, int32_t end, int formats) {
    Level levels[MAX_DEPTH + 1] = {{.open = -1}};
    int32_t depth = 0;
    int in_with = 0, failed = DONE;
    for (int32_t i = start; i < end && !failed; i++) {
        Token *at = state->tokens.at; /* may move while a part is analysed */
        Token *token = &at[i];
        Level *level = &levels[depth];
        int32_t base = depth ? levels[depth - 1].run + 1 : 0;
        int awaits = level->awaits_parameter;
        level->awaits_parameter = 0;
        if (++level->run > MAX_RUN)
            return DECLINED;
        switch (token->kind) {
        case LINE:
            levels[0] = (Level){.open = -1};
            in_with = at[i + 1].kind == NAME && (at[i + 1].word == WITH || (at[i + 1].word == ASYNC && at[i + 2].word == WITH));
            break;
        case NEWLINE:
        case ARROW:
        case AUGMENTED:
            separate(level, base);
            break;
        case WALRUS:
            separate(level, base);
            failed = i > start && is_identifier(&at[i - 1]) ? bind(state, &at[i - 1]) : DECLINED;
            break;
        case POWER:
            level->awaits_parameter = (uint8_t)awaits;
            break;
        case STRING:
            failed = analyse_string(state, &(Token){token->start, token->end, -1, STRING, token->word}, formats);
            break;
        case NAME:
            if (is_keyword(token)) {
                int leads = i > start && (at[i - 1].kind == LINE || (at[i - 1].word == ASYNC && at[i - 1].kind == NAME &&
                                                                     i - 1 > start && at[i - 2].kind == LINE));
                failed = count_keyword(state, i, end, leads, in_with, base, level);
            } else if (i + 1 < end && is_odd(at, i, start))
                return DECLINED;
            else if (awaits)
                failed = bind(state, token);
            break;
        case SIGN:
            switch (token->word) {
            case '(': case '[': case '{':
                if (depth == MAX_DEPTH)
                    return DECLINED;
                levels[++depth] = (Level){.open = i, .run = level->run + 1};
                if (token->word == '(')
                    failed = open_parenthesis(state, start, i, &levels[depth]);
                break;
            case ')': case ']': case '}':
                if (!depth)
                    return DECLINED;
                depth--;
                break;
            case ',':
                level->awaits_parameter = level->lambdas || level->parameters;
                separate(level, base);
                break;
            case ':':
                level->lambdas -= level->lambdas > 0;
                separate(level, base);
                break;
            case '=': case ';':
                separate(level, base);
                break;
            case '*':
                level->awaits_parameter = (uint8_t)awaits;
                break;
            default:
                break;
            }
            break;
        default:
            break;
        }
    }
    return failed ? failed : depth ? DECLINED : DONE;
}

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

/* Follows the blocks of all statements: docstrings, simple functions, assignments. */
static int read_blocks(State *state) {
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

static int read_facts(State *state) {
    int failed = read_tokens(&state->tokens, state->code, 0, state->size, 0);
    if (!failed)
        failed = match_brackets(state->tokens.at, 0, state->tokens.size);
    if (!failed)
        failed = analyse(state, 0, state->tokens.size, 0);
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
    return Py_BuildValue("nnnnnnnnnnnnnnnn", facts->docstring_characters, facts->functions, facts->classes,
                         facts->imports, facts->asserts, facts->passes, facts->prints, facts->variables,
                         facts->branches, facts->calls, facts->simple_returns, facts->returns, facts->class_variables,
                         facts->docstrings, facts->docstring_lines, facts->stubs);
}
