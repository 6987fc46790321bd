/*
 * source_attributes_parts: a parsed .gitattributes. Only source_attributes*.c include this.
 */
#ifndef ADDONFS_SOURCE_ATTRIBUTES_PARTS_H
#define ADDONFS_SOURCE_ATTRIBUTES_PARTS_H

#include "source_attributes.h"

#include <stdbool.h>

/* An attribute that a line sets. There may be millions in a hostile file: its value is behind its
 * name in the text. */
struct assignment {
    uint32_t name; /* where it begins in the text */
    uint16_t length;
    uint8_t attribute; /* enum attribute, or ATTRIBUTES: another */
    uint8_t state;     /* enum attribute_state */
};

/* A run of assignments. */
struct assignments {
    uint32_t first;
    uint32_t count;
};

struct rule {
    uint32_t pattern; /* where it begins in the text */
    uint16_t length;
    uint16_t literal; /* so many bytes mean themselves */
    bool is_name;     /* there is no slash in it: it is of the last name of a path */
    bool is_tail;     /* "*tail" */
    struct assignments assignments;
};

struct macro {
    uint32_t name;
    uint32_t length;
    struct assignments assignments;
};

struct attributes {
    _Atomic unsigned references;
    char *text; /* the file, whose patterns lost their quotes, with a NUL in place of each LF */
    size_t size;
    struct rule *rules; /* in the order of lines */
    size_t rule_count;
    struct macro *macros; /* by name, each once */
    size_t macro_count;
    struct assignment *assignments;
    size_t assignment_count;
};

/* What separates words in a line. */
#define ATTRIBUTES_BLANKS " \t\r\n"

/* By name. */
int attributes_compare_names(const char *a, size_t a_length, const char *b, size_t b_length);

#endif
