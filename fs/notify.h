/*
 * notify: tells a service manager how far we are.
 *
 * The protocol of sd_notify(3), which asks for no library: a line in a datagram to the socket that
 * $NOTIFY_SOCKET names.
 */
#ifndef ADDONFS_NOTIFY_H
#define ADDONFS_NOTIFY_H

/* Say `state` ("READY=1") to whoever wants to know. Nothing happens if nobody does. */
void notify(const char *state);

#endif
