#include "text.h"

enum {
    LETTER = IN_WORD | IN_BASE64 | IN_KEY,
    HEX = LETTER | IN_HEX | IN_BYTES | IN_ESCAPES,
    SPACE = IN_SPACE | IN_BYTES,
};

const uint8_t CLASSES[128] = {
    ['\t'] = SPACE, ['\n'] = SPACE | IN_BASE64, ['\v' ... '\r'] = SPACE, [28 ... 31] = SPACE, [' '] = SPACE,
    ['+'] = IN_BASE64, ['/'] = IN_BASE64, ['='] = IN_BASE64, [','] = IN_BYTES, ['-'] = IN_KEY, ['_'] = IN_WORD | IN_KEY,
    ['\\'] = IN_BYTES | IN_ESCAPES, ['0' ... '9'] = HEX, ['A' ... 'F'] = HEX, ['G' ... 'Z'] = LETTER, ['a' ... 'f'] = HEX,
    ['g' ... 't'] = LETTER, ['u'] = LETTER | IN_ESCAPES, ['v' ... 'w'] = LETTER, ['x'] = LETTER | IN_BYTES,
    ['y' ... 'z'] = LETTER,
};
