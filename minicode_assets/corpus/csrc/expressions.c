/* Expressions of a text that parses: names that are bound, branches, calls, and what is inside of f-strings. */
#include "syntax.h"
#include <string.h>

typedef struct {
    int32_t open;    /* token of the bracket, or -1 */
    int32_t lambdas; /* parameter lists of lambdas that are open */
    int32_t run;     /* tokens since the last separator, those around the bracket included */
    uint8_t parameters, awaits_parameter, has_for, in_and, in_or;
} Level;

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

int bind_targets(State *state, int32_t start, int32_t end, int depth) {
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

int match_brackets(Token *at, int32_t start, int32_t end) {
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

int analyse(State *state, int32_t start, int32_t end, int formats) {
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
