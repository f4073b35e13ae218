#!/usr/bin/env python3
"""A kubelet's part of a pull: the CRI image service (runtime.v1) over containerd's socket.

    cri.py SOCKET version | pull IMAGE | remove IMAGE | status IMAGE

A credential, as a kubelet's provider gives one, is read from standard input as USER:PASSWORD when
the environment has CRI_AUTH=1. The few messages are written by hand: no generated code is needed.
"""
import os, sys
import grpc


def varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def field(number, value):
    """A length-delimited field: text or a message."""
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def fields(data):
    """The length-delimited fields of a message; numbers are skipped."""
    at = 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        tag = number()
        if tag & 7 == 2:
            size = number()
            yield tag >> 3, data[at:at + size]
            at += size
        elif tag & 7 == 0:
            number()
        else:
            raise ValueError(f"wire type {tag & 7}")


def main():
    socket, verb, *rest = sys.argv[1:]
    channel = grpc.insecure_channel(f"unix:{socket}", options=[("grpc.enable_http_proxy", 0)])

    def call(method, request):
        return channel.unary_unary(f"/runtime.v1.{method}")(request, timeout=60)

    if verb == "version":
        print(b" ".join(value for _, value in fields(call("RuntimeService/Version", b""))).decode())
        return
    image = field(1, rest[0])
    if verb == "pull":
        request = field(1, image)
        if os.environ.get("CRI_AUTH"):
            user, password = sys.stdin.read().rstrip("\n").split(":", 1)
            request += field(2, field(1, user) + field(2, password))
        print(dict(fields(call("ImageService/PullImage", request)))[1].decode())
    elif verb == "remove":
        call("ImageService/RemoveImage", field(1, image))
    elif verb == "status":
        found = dict(fields(call("ImageService/ImageStatus", field(1, image)))).get(1)
        if not found:
            sys.exit("there is no such image")
        print(dict(fields(found))[1].decode())
    else:
        sys.exit(__doc__)


try:
    main()
except grpc.RpcError as error:
    sys.exit(f"{error.code().name}: {error.details()}")
