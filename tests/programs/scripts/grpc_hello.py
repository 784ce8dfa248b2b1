"""A gRPC service without generated code, and its client. Arguments: server|client HOST PORT."""

from concurrent import futures
import sys

import grpc

role, address = sys.argv[1], f"{sys.argv[2]}:{sys.argv[3]}"


def hello(request, _context):
    return b"hello " + request


def chat(requests, _context):
    for request in requests:
        yield b"hello " + request


if role == "server":
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("greeter", {
        "hello": grpc.unary_unary_rpc_method_handler(hello),
        "chat": grpc.stream_stream_rpc_method_handler(chat),
    })])
    assert server.add_insecure_port(address) != 0
    server.start()
    server.wait_for_termination()
else:
    with grpc.insecure_channel(address) as channel:
        ask = channel.unary_unary("/greeter/hello")
        right = sum(ask(b"x" * (number * 40), timeout=10) == b"hello " + b"x" * (number * 40) for number in range(400))
        names = [b"%d" % number for number in range(100)]
        talk = channel.stream_stream("/greeter/chat")
        right += sum(answer == b"hello " + name for answer, name in zip(talk(iter(names), timeout=10), names))
    print("right:", right)
