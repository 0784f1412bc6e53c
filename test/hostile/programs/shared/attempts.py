"""What programs that try walls share: each attempt that succeeds is printed at the end, else `none`."""
import ctypes, errno, os, sys

libc = ctypes.CDLL(None, use_errno=True)
_through = []


def attempt(name, work, *refusals):
    """Nothing must come of it, and if refusals are named, just one of these errors."""
    try:
        result = work()
    except OSError as error:
        code = errno.errorcode.get(error.errno, str(error))
        if refusals and code not in refusals:
            _through.append(f"{name}: {code}")
    except ValueError as error:
        # So Python says it of limits that may not be raised.
        if "not allowed" not in str(error):
            _through.append(f"{name}: {error!r}")
    else:
        _through.append(f"{name}: {result!r}")


def syscall(number, *arguments):
    ctypes.set_errno(0)
    words = [each if isinstance(each, (bytes, ctypes.Array)) else ctypes.c_long(each) for each in arguments]
    result = libc.syscall(ctypes.c_long(number), *words)
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def write_to(path, data=b"0"):
    """Opened for writing only: what can't be opened can't be written."""
    fd = os.open(path, os.O_WRONLY)
    try:
        return os.write(fd, data)
    finally:
        os.close(fd)


def walk(top, most=20000):
    """Paths below, of one file system and without links."""
    todo, count = [top], 0
    while todo and count < most:
        try:
            entries = list(os.scandir(todo.pop()))
        except OSError:
            continue
        for entry in entries:
            count += 1
            yield entry.path
            try:
                if entry.is_dir(follow_symlinks=False):
                    todo.append(entry.path)
            except OSError:
                pass


def report():
    print("\n".join(_through[:50]) or "none")
    sys.stdout.flush()
