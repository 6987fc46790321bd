#include <addonfs/body.h>

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

struct body {
    _Atomic unsigned references;
    uint64_t number;
    uint64_t size;
    int code;              /* what opening it answers, if it is unreadable */
    char *failure;         /* or NULL */
    _Atomic bool told;     /* see body_is_news */
    _Atomic bool outdated; /* see body_is_outdated */
    struct file *file;     /* of a plain file */
    struct bundle *bundle; /* of a zip */
    struct timespec mtime;

    pthread_mutex_t lock; /* guards the rest; held while the file is captured */
    struct bundle *twin;  /* a later zip of the same bytes, or NULL */
    unsigned opens;
    struct content *content; /* the file's bytes, while it is open, or while they may be lost */
    struct spool *claimed;   /* where room in memory was taken for them, or NULL; not owned */
};

static struct body *body_new(uint64_t number)
{
    struct body *body = calloc(1, sizeof(*body));

    if (!body)
        return NULL;
    atomic_init(&body->references, 1);
    body->number = number;
    pthread_mutex_init(&body->lock, NULL);
    return body;
}

struct body *body_ref(struct body *body)
{
    atomic_fetch_add(&body->references, 1);
    return body;
}

/* What is larger goes to the spool at once. */
enum { MEMORY_LIMIT = 1 << 16 };

/* Forget the bytes. */
static void drop(struct body *body)
{
    if (body->claimed)
        spool_give_memory(body->claimed, (size_t)body->size);
    body->claimed = NULL;
    content_unref(body->content);
    body->content = NULL;
}

void body_unref(struct body *body)
{
    if (!body || atomic_fetch_sub(&body->references, 1) > 1)
        return;
    drop(body);
    file_unref(body->file);
    bundle_unref(body->bundle);
    bundle_unref(body->twin);
    free(body->failure);
    pthread_mutex_destroy(&body->lock);
    free(body);
}

struct body *body_unreadable(uint64_t number, const char *failure)
{
    cleanup_body struct body *body = body_new(number);

    if (!body)
        return NULL;
    body->code = -EIO;
    body->failure = strdup(failure);
    return body->failure ? steal_pointer(&body) : NULL;
}

/*
 * What asking for the content has answered becomes a body. A failure of the moment (no memory, no
 * room) does so too: tools pass over what fails at stat, and report what fails at open.
 */
static int conclude(struct body *body, int result, const struct error *why, struct body **ret_body,
                    struct error *error)
{
    if (error_tells_nothing(result)) {
        if (error)
            *error = *why;
        return result;
    }
    if (result < 0) {
        body->code = error_is_transient(result) ? result : -EIO;
        body->failure = strdup(why->text);
        if (!body->failure)
            return error_errno(error, -ENOMEM, "%s", why->text);
    }
    *ret_body = body_ref(body);
    return 0;
}

/* The file's compressed form, if its bytes can be had out of that when the source has them no more.
 */
static const struct member *pinned(const struct file *file)
{
    const struct member *member = atomic_load(&file->member);

    return member && member_is_secured(member) ? member : NULL;
}

static int capture(struct body *body, const struct origin *origin, struct error *error)
{
    cleanup_content struct content *content = NULL;
    bool in_memory =
        body->size <= MEMORY_LIMIT && spool_take_memory(origin->spool, (size_t)body->size);

    body->claimed = in_memory ? origin->spool : NULL;
    int r = source_read(body->file, origin->spool, in_memory ? MEMORY_LIMIT : 0, &content, error);

    if (r < 0 && pinned(body->file))
        r = member_inflate(pinned(body->file), in_memory ? MEMORY_LIMIT : 0, &content, error);
    if (r == 0 && content->size != body->size)
        r = error_set(error, -ESTALE, "%s: has changed meanwhile", body->file->path);
    if (r < 0) {
        drop(body);
        return r;
    }
    body->content = steal_pointer(&content);
    return 0;
}

/*
 * A file that has just been written may be written again before it is opened: the kernel looks a
 * name up and opens it in two steps, and tries a second time only. So its bytes are taken now,
 * where they are few. If they cannot be had they may be when it is opened.
 */
static void capture_early(struct body *body, const struct origin *origin)
{
    if (body->size <= MEMORY_LIMIT && !file_has_settled(body->file))
        (void)capture(body, origin, NULL);
}

int body_of_file(struct file *file, const struct origin *origin, uint64_t number,
                 struct body **ret_body, struct error *error)
{
    cleanup_body struct body *body = body_new(number);
    struct error why = {0};

    if (!body)
        return error_errno(error, -ENOMEM, "%s", file->path);
    body->file = file_ref(file);
    int r = source_measure(file, origin->spool, &body->size, &why);
    if (r < 0 && pinned(file)) {
        body->size = pinned(file)->size;
        r = 0;
    }
    if (r == 0)
        capture_early(body, origin);
    return conclude(body, r, &why, ret_body, error);
}

int body_of_zip(struct bundle *bundle, const struct origin *origin, uint64_t number,
                struct body **ret_body, struct error *error)
{
    cleanup_body struct body *body = body_new(number);
    struct error why = {0};

    if (!body)
        return error_errno(error, -ENOMEM, "zip");
    body->bundle = bundle_ref(bundle);
    int r = bundle_compose(bundle, origin, &why);
    if (r == 0)
        body->size = bundle_size(bundle);
    return conclude(body, r, &why, ret_body, error);
}

void body_set_mtime(struct body *body, struct timespec mtime)
{
    body->mtime = mtime;
}

struct timespec body_mtime(const struct body *body)
{
    return body->mtime;
}

bool body_renew(struct body *body, const struct body *other)
{
    struct content_id one;
    struct content_id two;

    if (!body->bundle || !other->bundle || body->failure || other->failure)
        return false;
    /* The same content, compressed otherwise, is not the same bytes. */
    if (body_is_outdated(body) || body->size != other->size)
        return false;
    if (bundle_id(body->bundle, &one) < 0 || bundle_id(other->bundle, &two) < 0 ||
        !content_id_equal(&one, &two))
        return false;
    cleanup_lock(&body->lock);
    bundle_unref(body->twin);
    body->twin = bundle_ref(other->bundle);
    return true;
}

uint64_t body_number(const struct body *body)
{
    return body->number;
}

uint64_t body_size(const struct body *body)
{
    return body->size;
}

int body_id(struct body *body, struct content_id *ret_id)
{
    if (body->bundle)
        return bundle_id(body->bundle, ret_id);
    *ret_id = body->content->id;
    return 0;
}

const char *body_failure(const struct body *body)
{
    return body->failure;
}

bool body_is_outdated(const struct body *body)
{
    return atomic_load(&body->outdated) ||
           (body->bundle && !body->failure && bundle_size(body->bundle) != body->size);
}

bool body_is_news(struct body *body)
{
    return !atomic_exchange(&body->told, true);
}

static struct bundle *twin_of(struct body *body)
{
    cleanup_lock(&body->lock);

    return body->twin ? bundle_ref(body->twin) : NULL;
}

static int secure(struct body *body, const struct origin *origin, struct error *error)
{
    struct bundle *twin = NULL;
    int r = bundle_secure(body->bundle, origin, error);

    if (r == -ESTALE && (twin = twin_of(body))) {
        r = bundle_secure(twin, origin, error);
        /* They share all members: what is secured for one is so for the other. Unless a member that
         * the twin could still make came out otherwise: then what was laid out here is lost. */
        if (r == 0 && (r = bundle_secure(body->bundle, origin, error)) == -ESTALE)
            atomic_store(&body->outdated, true);
        bundle_unref(twin);
    }
    if (r == 0 && body_is_outdated(body))
        return error_set(error, -ESTALE, "zip: had to be laid out anew");
    return r;
}

int body_open(struct body *body, const struct origin *origin, struct error *error)
{
    if (body->failure)
        return error_set(error, body->code, "%s", body->failure);
    if (body->bundle)
        return secure(body, origin, error);
    /* Another may be taking the bytes of a large file: nobody waits for that who is being killed.
     */
    int r = origin_lock(origin, &body->lock);
    if (r < 0)
        return error_errno(error, r, "%s", body->file->path);
    if (!body->content)
        r = capture(body, origin, error);
    body->opens += r == 0;
    pthread_mutex_unlock(&body->lock);
    return r;
}

void body_close(struct body *body)
{
    if (body->bundle)
        return;
    cleanup_lock(&body->lock);
    if (--body->opens == 0)
        drop(body);
}

ssize_t body_read(struct body *body, uint64_t offset, void *bytes, size_t size)
{
    if (body->bundle)
        return bundle_read(body->bundle, offset, bytes, size);
    /* `content` stays as long as anyone has the body open, which the caller has. */
    return content_read(body->content, offset, bytes, size);
}
