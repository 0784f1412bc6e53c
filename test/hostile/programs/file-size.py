# {"status":"success","stdout":"EFBIG EFBIG EFBIG\n"}
import errno, os

fd = os.open("x", os.O_RDWR | os.O_CREAT)


def refusal(work):
    try:
        return str(work())
    except OSError as error:
        return errno.errorcode[error.errno]


print(
    refusal(lambda: os.ftruncate(fd, 1 << 40)),
    refusal(lambda: os.posix_fallocate(fd, 0, 1 << 40)),
    refusal(lambda: os.pwrite(fd, b"x", 1 << 40)),
)
