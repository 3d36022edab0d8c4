#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES 16384

enum error file_read(const char *path, size_t limit, struct bytes *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_from_errno(errno);
	enum error error = OK;
	size_t left = limit;
	while (left > 0) {
		size_t wanted = left < READ_BYTES ? left : READ_BYTES;
		if (!bytes_reserve(out, wanted)) {
			error = ERROR_MEMORY;
			break;
		}
		ssize_t count = read(fd, out->data + out->len, wanted);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			error = error_from_errno(errno);
		if (count <= 0)
			break;
		out->len += (size_t)count;
		left -= (size_t)count;
	}
	close(fd);
	return error;
}

enum error file_create(const char *path, unsigned mode, struct span content)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return errno == EEXIST ? ERROR_DUPLICATE : error_from_errno(errno);
	enum error error = OK;
	while (content.len && !error) {
		ssize_t count = write(fd, content.at, content.len);
		if (count < 0 && errno != EINTR)
			error = error_from_errno(errno);
		if (count > 0)
			content = (struct span){ content.at + count, content.len - (size_t)count };
	}
	if (fsync(fd) != 0 && !error)
		error = error_from_errno(errno);
	close(fd);
	if (error)
		unlink(path);
	return error;
}

enum error folder_create(const char *path)
{
	char part[PATH_MAX];
	for (size_t i = 1;; i++) {
		if (path[i - 1] == '\0')
			return OK;
		if (path[i] != '/' && path[i] != '\0')
			continue;
		int len = snprintf(part, sizeof(part), "%.*s", (int)i, path);
		if (len < 0 || (size_t)len >= sizeof(part))
			return ERROR_LIMIT;
		if (mkdir(part, 0700) != 0 && errno != EEXIST)
			return error_from_errno(errno);
	}
}
