/* Tokens of Python code that is known to parse. Anything unusual is declined, and Python's own tree is asked instead. */
#ifndef MINICODE_TOKENS_H
#define MINICODE_TOKENS_H

#include "text.h"

typedef enum {
    LINE,    /* a logical line begins; `end` is its indentation */
    NEWLINE, /* it ends */
    NAME,
    NUMBER,
    STRING,
    ELLIPSIS,
    AUGMENTED, /* += and the like */
    WALRUS,
    ARROW,
    POWER,    /* double asterisk */
    OPERATOR, /* any other of two characters and more, or one that matters to nobody */
    SIGN      /* one of the characters ()[]{},:;.=*@/ , see `word` */
} Kind;

typedef enum {
    NO_WORD,
    AND, AS, ASSERT, ASYNC, AWAIT, BREAK, CLASS, CONTINUE, DEF, DEL, ELIF, ELSE, EXCEPT, FINALLY, FOR, FROM, GLOBAL, IF,
    IMPORT, IN, IS, LAMBDA, NONLOCAL, NOT, OR, PASS, RAISE, RETURN, TRY, WHILE, WITH, YIELD,
    LAST_KEYWORD = YIELD,
    FALSE_, NONE_, TRUE_, /* keywords that are values */
    PRINT, MATCH, CASE, TYPE
} Word;

enum { IS_RAW = 1, IS_BYTES = 2, IS_FORMATTED = 4, IS_TRIPLE = 8 };

typedef struct {
    int32_t start, end;
    int32_t other; /* of a bracket: the token number of its partner */
    uint8_t kind;
    uint8_t word; /* Word of a NAME, character of a SIGN, flags of a STRING */
} Token;

typedef struct {
    Token *at;
    int32_t size, room;
} Tokens;

/* Appends the tokens of code[start:end]; within brackets if `inside`. 0: done, -1: no memory, 1: declined. */
int read_tokens(Tokens *tokens, const Py_UCS4 *code, int32_t start, int32_t end, int inside);

#endif
