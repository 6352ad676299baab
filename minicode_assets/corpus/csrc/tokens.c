#include "tokens.h"
#include <string.h>

static const struct {
    const char *name;
    Word word;
} WORDS[] = {
    {"and", AND}, {"as", AS}, {"assert", ASSERT}, {"async", ASYNC}, {"await", AWAIT}, {"break", BREAK},
    {"case", CASE}, {"class", CLASS}, {"continue", CONTINUE}, {"def", DEF}, {"del", DEL}, {"elif", ELIF},
    {"else", ELSE}, {"except", EXCEPT}, {"finally", FINALLY}, {"for", FOR}, {"from", FROM}, {"global", GLOBAL},
    {"if", IF}, {"import", IMPORT}, {"in", IN}, {"is", IS}, {"lambda", LAMBDA}, {"match", MATCH},
    {"nonlocal", NONLOCAL}, {"not", NOT}, {"or", OR}, {"pass", PASS}, {"print", PRINT}, {"raise", RAISE},
    {"return", RETURN}, {"try", TRY}, {"type", TYPE}, {"while", WHILE}, {"with", WITH}, {"yield", YIELD},
    {"False", FALSE_}, {"None", NONE_}, {"True", TRUE_},
};

static Word word_of(const Py_UCS4 *code, int32_t size) {
    if (size < 2 || size > 8)
        return NO_WORD;
    for (size_t k = 0; k < sizeof WORDS / sizeof *WORDS; k++) {
        const char *name = WORDS[k].name;
        if ((Py_UCS4)name[0] != code[0] || (Py_UCS4)name[1] != code[1] || strlen(name) != (size_t)size)
            continue;
        int32_t i = 2;
        while (i < size && (Py_UCS4)name[i] == code[i])
            i++;
        if (i == size)
            return WORDS[k].word;
    }
    return NO_WORD;
}

static int add(Tokens *tokens, Kind kind, int word, int32_t start, int32_t end) {
    if (tokens->size == tokens->room) {
        int32_t room = tokens->room ? tokens->room * 2 : 4096;
        Token *at = PyMem_RawRealloc(tokens->at, (size_t)room * sizeof *at);
        if (!at)
            return -1;
        tokens->at = at;
        tokens->room = room;
    }
    tokens->at[tokens->size++] = (Token){start, end, -1, (uint8_t)kind, (uint8_t)word};
    return 0;
}

static inline int is_name(Py_UCS4 c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c >= '0' && c <= '9');
}

static inline int is_digit(Py_UCS4 c) { return c >= '0' && c <= '9'; }

/* The end of a number; a keyword may follow at once (`1if x else 2`). */
static int32_t after_number(const Py_UCS4 *code, int32_t i, int32_t end) {
    if (code[i] == '0' && i + 1 < end && strchr("xXoObB", (int)code[i + 1]) && code[i + 1] < 128) {
        int hexadecimal = (code[i + 1] | 32) == 'x';
        for (i += 2; i < end && (code[i] == '_' || (hexadecimal ? is_hex(code[i]) : is_digit(code[i]))); i++)
            ;
        return i;
    }
    while (i < end && (is_digit(code[i]) || code[i] == '_'))
        i++;
    if (i < end && code[i] == '.')
        for (i++; i < end && (is_digit(code[i]) || code[i] == '_'); i++)
            ;
    if (i < end && (code[i] | 32) == 'e') {
        int32_t sign = i + 1 + (i + 1 < end && (code[i + 1] == '+' || code[i + 1] == '-'));
        if (sign < end && is_digit(code[sign]))
            for (i = sign; i < end && (is_digit(code[i]) || code[i] == '_'); i++)
                ;
    }
    return i < end && (code[i] | 32) == 'j' ? i + 1 : i;
}

/* Flags of a string prefix, or -1 where the name is none. */
static int prefix_of(const Py_UCS4 *code, int32_t size) {
    int flags = 0;
    for (int32_t i = 0; i < size; i++) {
        Py_UCS4 c = code[i] < 128 ? code[i] | 32 : 0;
        if (size > 2 || (c != 'r' && c != 'b' && c != 'f' && c != 'u'))
            return -1;
        flags |= c == 'r' ? IS_RAW : c == 'b' ? IS_BYTES : c == 'f' ? IS_FORMATTED : 0;
    }
    return flags;
}

/* The end of the literal whose first quote is at `i`, or -1. */
static int32_t after_string(const Py_UCS4 *code, int32_t i, int32_t end, int *flags) {
    Py_UCS4 quote = code[i];
    int triple = i + 2 < end && code[i + 1] == quote && code[i + 2] == quote;
    *flags |= triple ? IS_TRIPLE : 0;
    for (i += triple ? 3 : 1; i < end; i++) {
        if (code[i] == '\\')
            i += 1 + (i + 2 < end && code[i + 1] == '\r' && code[i + 2] == '\n');
        else if (code[i] == quote && (!triple || (i + 2 < end && code[i + 1] == quote && code[i + 2] == quote)))
            return i + (triple ? 3 : 1);
        else if (!triple && (code[i] == '\n' || code[i] == '\r'))
            return -1;
    }
    return -1;
}

static int add_operator(Tokens *tokens, const Py_UCS4 *code, int32_t *place, int32_t end) {
    static const char *longer[] = {"**=", "//=", ">>=", "<<=", "...", "->", ":=", "==", "!=", "<=", ">=", "+=", "-=",
                                   "*=",  "/=",  "%=",  "&=",  "|=",  "^=", "@=", "**", "//", ">>", "<<"};
    static const Kind kinds[] = {AUGMENTED, AUGMENTED, AUGMENTED, AUGMENTED, ELLIPSIS,  ARROW,     WALRUS,    OPERATOR,
                                 OPERATOR,  OPERATOR,  OPERATOR,  AUGMENTED, AUGMENTED, AUGMENTED, AUGMENTED, AUGMENTED,
                                 AUGMENTED, AUGMENTED, AUGMENTED, AUGMENTED, POWER,     OPERATOR,  OPERATOR,  OPERATOR};
    int32_t i = *place;
    Py_UCS4 c = code[i];
    if (c >= 128)
        return 1;
    if (!strchr("()[]{},;", (int)c))
        for (size_t k = 0; k < sizeof longer / sizeof *longer; k++) {
            const char *name = longer[k];
            int32_t size = name[2] ? 3 : 2;
            if ((Py_UCS4)name[0] != c || i + size > end || code[i + 1] != (Py_UCS4)name[1] ||
                (size == 3 && code[i + 2] != (Py_UCS4)name[2]))
                continue;
            *place = i + size;
            return add(tokens, kinds[k], 0, i, i + size);
        }
    if (!strchr("()[]{},:;.=*@/+-%<>&|^~", (int)c) || !c)
        return 1;
    *place = i + 1;
    return add(tokens, strchr("()[]{},:;.=*@/", (int)c) ? SIGN : OPERATOR, (int)c, i, i + 1);
}

/* Adds the name, or the literal of which it is the prefix. */
static int add_name(Tokens *tokens, const Py_UCS4 *code, int32_t *place, int32_t end) {
    int32_t start = *place, i = start;
    while (i < end && is_name(code[i]))
        i++;
    if (i < end && code[i] >= 128)
        return 1;
    int flags, quoted = i < end && (code[i] == '"' || code[i] == '\'');
    if (quoted && (flags = prefix_of(code + start, i - start)) >= 0) {
        int32_t stop = after_string(code, i, end, &flags);
        *place = stop;
        return stop < 0 ? 1 : add(tokens, STRING, flags, start, stop);
    }
    Word word = word_of(code + start, i - start);
    if (quoted && (word == NO_WORD || word > LAST_KEYWORD))
        return 1;
    *place = i;
    return add(tokens, NAME, word, start, i);
}

/* Reads the indentation of a line; -2 for a line without code (`place` is behind it then), -1 for an odd one. */
static int32_t indentation(const Py_UCS4 *code, int32_t *place, int32_t end) {
    int32_t column = 0, i = *place;
    for (; i < end && (code[i] == ' ' || code[i] == '\t' || code[i] == '\f'); i++)
        column = code[i] == ' ' ? column + 1 : code[i] == '\t' ? (column / 8 + 1) * 8 : 0;
    *place = i;
    if (i < end && code[i] == '\\')
        return -1;
    if (i < end && code[i] != '#' && code[i] != '\n' && code[i] != '\r')
        return column;
    i = (int32_t)line_end(code, i, end);
    *place = i < end ? (int32_t)after_newline(code, i) : end;
    return -2;
}

int read_tokens(Tokens *tokens, const Py_UCS4 *code, int32_t start, int32_t end, int inside) {
    int32_t depth = inside ? 1 : 0, i = start;
    int new_line = !inside, failed = 0;
    while (i < end && !failed) {
        if (new_line) {
            int32_t column = indentation(code, &i, end);
            if (column == -1)
                return 1;
            if (column >= 0) {
                failed = add(tokens, LINE, 0, i, column);
                new_line = 0;
            }
            continue;
        }
        Py_UCS4 c = code[i];
        if (c == ' ' || c == '\t' || c == '\f')
            i++;
        else if (c == '#')
            i = (int32_t)line_end(code, i, end);
        else if (c == '\n' || c == '\r') {
            int32_t next = (int32_t)after_newline(code, i);
            if (!depth) {
                failed = add(tokens, NEWLINE, 0, i, next);
                new_line = 1;
            }
            i = next;
        } else if (c == '\\') {
            if (i + 1 >= end || (code[i + 1] != '\n' && code[i + 1] != '\r'))
                return 1;
            i = (int32_t)after_newline(code, i + 1);
        } else if (is_digit(c) || (c == '.' && i + 1 < end && is_digit(code[i + 1]))) {
            int32_t stop = after_number(code, i, end);
            failed = add(tokens, NUMBER, 0, i, stop);
            i = stop;
        } else if (is_name(c))
            failed = add_name(tokens, code, &i, end);
        else if (c == '"' || c == '\'') {
            int flags = 0;
            int32_t stop = after_string(code, i, end, &flags);
            failed = stop < 0 ? 1 : add(tokens, STRING, flags, i, stop);
            i = stop;
        } else {
            depth += (c == '(' || c == '[' || c == '{') - (c == ')' || c == ']' || c == '}');
            failed = add_operator(tokens, code, &i, end);
        }
    }
    if (!failed && !inside && !new_line)
        failed = depth ? 1 : add(tokens, NEWLINE, 0, end, end);
    return failed;
}

/* Most dots in a run of names, dots, white space and backslashes: no dotted name has more parts than that and one. */
PyObject *most_dots_of(PyObject *module, PyObject *object) {
    Text text;
    if (read_text(object, &text) < 0)
        return NULL;
    Py_ssize_t dots = 0, most = 0;
    for (Py_ssize_t i = 0; i < text.size; i++) {
        Py_UCS4 c = text.at[i];
        if (c == '.')
            most = ++dots > most ? dots : most;
        else if (!is_word(c) && !is_space(c) && c != '\\')
            dots = 0;
    }
    free_text(&text);
    return PyLong_FromSsize_t(most);
}
