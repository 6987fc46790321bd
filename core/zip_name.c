#include "zip_name.h"

enum { NAME_LIMIT = UINT16_MAX }; /* APPNOTE 4.4.10: the length is two bytes */

/*
 * A component "", "." or ".." is bad. One between '/' alone is also one between '/' and '\\', so
 * this finds what either kind of reader would; Windows takes a name with '\\' first for absolute.
 */
struct name_facts zip_look_at_name(const char *name)
{
    struct name_facts facts = {0};
    const char *component = name;
    const char *at = name;
    unsigned char all = 0; /* the bits of all bytes */

    for (;; at++) {
        all |= (unsigned char)*at;
        if (*at != '/' && *at != '\\' && *at != '\0')
            continue;
        size_t length = (size_t)(at - component);
        if (length == 0 || (length <= 2 && component[0] == '.' && component[length - 1] == '.'))
            facts.bad_component = true;
        if (*at == '\0')
            break;
        component = at + 1;
    }
    facts.length = (size_t)(at - name);
    facts.ascii = all < 0x80;
    return facts;
}

const char *zip_reason_against(const char *name, const struct name_facts *facts)
{
    if (facts->length == 0)
        return "an empty name cannot be a ZIP member's";
    if (facts->length > NAME_LIMIT)
        return "the name is too long for a ZIP member";
    if (!facts->ascii && !error_is_utf8(name, facts->length))
        return "the name is not UTF-8, which a ZIP member's must be";
    if (facts->bad_component)
        return "the name could lead out of the folder it is unpacked in";
    return NULL;
}

bool zip_name_ok(const char *name, const char **ret_reason)
{
    const struct name_facts facts = zip_look_at_name(name);
    const char *reason = zip_reason_against(name, &facts);

    if (reason && ret_reason)
        *ret_reason = reason;
    return reason == NULL;
}
