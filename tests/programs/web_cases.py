"""HTTP: nginx, haproxy, curl, wget, ab, wrk, Python's, Node's and Java's."""

import os
import re
import shutil
import signal
import subprocess

from harness import MB, PEER, PYTHON, ROLES, SOAK, STACK, Skip, expect, expect_same, need, sha256, watched

NGINX = """
daemon off; {processes}; worker_processes 1; user www-data; pid {folder}/{name}.pid; error_log stderr notice;
events {{ worker_connections 2048; }}
http {{
  access_log {folder}/{name}.log; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  client_body_temp_path {folder}/{name}-body; proxy_temp_path {folder}/{name}-proxy;
  fastcgi_temp_path {folder}/{name}-fastcgi; uwsgi_temp_path {folder}/{name}-uwsgi; scgi_temp_path {folder}/{name}-scgi;
  server {{
    listen {host}:{port}{options}; root {folder}/www; add_header X-Server {name};
    location = /ping {{ return 200 "pong\\n"; }}
  }}
}}
"""

HAPROXY = f"""
global
  nbthread 2
defaults
  timeout connect 5s
  timeout client 20s
  timeout server 20s
  timeout check 3s
  option splice-auto
frontend http
  mode http
  bind {STACK}:8080
  default_backend http
frontend tcp
  mode tcp
  bind {STACK}:8090
  default_backend tcp
backend http
  mode http
  balance roundrobin
  server first {PEER}:8081 check inter 200 fall 2 rise 1
  server second {PEER}:8082 check inter 200 fall 2 rise 1
backend tcp
  mode tcp
  balance roundrobin
  server first {PEER}:8081
  server second {PEER}:8082
"""


def start_nginx(bench, on_stack, port=8080, name="nginx", processes="master_process off", options=""):
    host = bench.host(on_stack)
    os.makedirs(bench.path("www"), exist_ok=True)
    configuration = bench.file(f"{name}.conf", NGINX.format(folder=bench.scratch, host=host, port=port, name=name,
                                                            processes=processes, options=options))
    server = bench.server(on_stack, "nginx", "-e", "stderr", "-c", configuration)
    bench.wait_for_port(server, host, port)
    return server


def count_requests(bench, path, name="nginx"):
    with open(bench.path(f"{name}.log"), encoding="ascii") as log:
        return log.read().count(f"GET {path} ")


def get(bench, server_on_stack, path, port=8080):
    """curl's answer."""
    return bench.client(server_on_stack, "curl", "-sS", "-i", "--max-time", 10,
                        f"http://{bench.host(server_on_stack)}:{port}{path}").succeed(15)


def download(bench, server_on_stack, command, source, url):
    arrived = bench.path("arrived")
    bench.client(server_on_stack, *command, arrived, url).succeed(60)
    expect_same(source, arrived)
    os.remove(arrived)


CURL = ("curl", "-sS", "--max-time", 30, "-o")
WGET = ("wget", "-q", "-T", 30, "-t", 1, "-O")


def load_http(bench, server_on_stack, url, count):
    """ab and wrk: every answer is right, and there are as many as asked for."""
    for keep_alive in ([], ["-k"]):
        out = bench.client(server_on_stack, "ab", "-q", "-n", count, "-c", 50, *keep_alive, url).succeed(60)
        expect(re.search(rf"^Complete requests: +{count}$", out, re.MULTILINE), out)
        expect(re.search(r"^Failed requests: +0$", out, re.MULTILINE) and "Non-2xx" not in out, out)
    out = bench.client(server_on_stack, "wrk", "-t", 2, "-c", 100, "-d", f"{20 if SOAK else 2}s", url).succeed(60)
    found = re.search(r"(\d+) requests in", out)
    expect(found and int(found[1]) > 100, out)
    expect("Socket errors" not in out and "Non-2xx" not in out, out)


@watched(carries=50 * MB)
def nginx(bench, on_stack, processes="master_process off", options=""):
    server = start_nginx(bench, on_stack, processes=processes, options=options)
    url = f"http://{bench.host(on_stack)}:8080"
    source = bench.random_file("www/large", 30 * MB)
    os.chmod(source, 0o644)
    answer = get(bench, on_stack, "/ping")
    expect(answer.startswith("HTTP/1.1 200 ") and answer.endswith("\npong\n"), answer)
    download(bench, on_stack, CURL, source, f"{url}/large")
    download(bench, on_stack, WGET, source, f"{url}/large")
    # One connection for many requests.
    out = bench.client(on_stack, "curl", "-sS", "--max-time", 10, "-w", "%{num_connects}\n",
                       *["%s/ping?%d" % (url, number) for number in range(100)]).succeed(20)
    expect(out.count("pong") == 100 and sum(int(n) for n in re.findall(r"^\d+$", out, re.MULTILINE)) == 1, out)
    count = 50_000 if SOAK else 5000
    load_http(bench, on_stack, f"{url}/ping", count)
    expect(count_requests(bench, "/ping") >= 2 * count, "the server has not logged every request")
    server.signal(signal.SIGQUIT)
    expect(server.wait(10) == 0, f"status {server.wait()}: {server.output()}")


@watched(carries=50 * MB)
def haproxy(bench):
    """A balancer on the stack, of requests and of connections, before two servers on the kernel."""
    need("haproxy")
    servers = [start_nginx(bench, False, port, name) for port, name in ((8081, "first"), (8082, "second"))]
    balancer = bench.on_stack("haproxy", "-db", "-f", bench.file("haproxy.conf", HAPROXY))
    bench.wait_for_port(balancer, STACK, 8080)
    source = bench.random_file("www/large", 30 * MB)
    os.chmod(source, 0o644)

    def logged():
        return [count_requests(bench, "/ping", name) for name in ("first", "second")]
    for port in (8080, 8090):
        download(bench, True, CURL, source, f"http://{STACK}:{port}/large")
        before = logged()
        for _ in range(20):
            expect(get(bench, True, "/ping", port).endswith("pong\n"), "no pong")
        bench.until("20 requests are in the servers' logs", lambda: sum(logged()) >= sum(before) + 20, 10)  # noqa: B023
        shares = [now - then for then, now in zip(before, logged())]
        expect(shares == [10, 10], f"20 requests were shared as {shares}")
        load_http(bench, True, f"http://{STACK}:{port}/ping", 20_000 if SOAK else 2000)
    expect("DOWN" not in balancer.output(), balancer.output())
    # One of them goes: the other gets all.
    servers[0].end()
    bench.until("the first server is known to be down", lambda: "first is DOWN" in balancer.output(), 10)
    for _ in range(10):
        answer = get(bench, True, "/ping")
        expect("x-server: second" in answer, f"with one server down: {answer}; {balancer.output()}")


@watched(carries=10 * MB)
def python_http(bench, on_stack):
    """http.server, which has a thread for each connection; curl and urllib."""
    host = bench.host(on_stack)
    source = bench.random_file("large", 10 * MB)
    server = bench.server(on_stack, PYTHON, "-m", "http.server", "--bind", host, "--directory", bench.scratch, 8000)
    bench.wait_for_port(server, host, 8000)
    url = f"http://{host}:8000/large"
    download(bench, on_stack, CURL, source, url)
    told = bench.client(on_stack, PYTHON, "-c",
                        "import hashlib, sys, urllib.request\n"
                        "print(hashlib.sha256(urllib.request.urlopen(sys.argv[1], timeout=20).read()).hexdigest())",
                        url).succeed(30)
    expect(told.strip() == sha256(source), "urllib got something else")
    out = bench.client(on_stack, "ab", "-q", "-n", 500, "-c", 20, f"{url}-not-there").succeed(60)
    expect("Non-2xx responses:      500" in out and re.search(r"^Complete requests: +500$", out, re.MULTILINE), out)


@watched(carries=20 * MB)
def python_asyncio(bench, on_stack):
    host = bench.host(on_stack)
    server = bench.server(on_stack, PYTHON, bench.script("asyncio_echo.py"), "server", host, 9000)
    bench.wait_for_port(server, host, 9000)
    out = bench.client(on_stack, PYTHON, bench.script("asyncio_echo.py"), "client", host, 9000, 200, 100_000).succeed(60)
    expect("right: 200" in out, out)


def http_server_case(bench, on_stack, command):
    """A server that answers POST with the body's SHA-256 and GET with a pong."""
    host = bench.host(on_stack)
    server = bench.server(on_stack, *command, host, 8000)
    bench.wait_for_port(server, host, 8000, 30)
    source = bench.random_file("body", 10 * MB)
    out = bench.client(on_stack, "curl", "-sS", "--max-time", 30, "--data-binary", f"@{source}", "-H", "Expect:",
                       f"http://{host}:8000/sha256").succeed(40)
    expect(out.strip() == sha256(source), out)
    load_http(bench, on_stack, f"http://{host}:8000/ping", 2000)


@watched(carries=10 * MB)
def node(bench, on_stack):
    need("node")
    http_server_case(bench, on_stack, ["node", bench.script("node_http.js"), "server"])


@watched(carries=10 * MB)
def node_client(bench):
    need("node")
    start_nginx(bench, False)
    source = bench.random_file("www/large", 10 * MB)
    os.chmod(source, 0o644)
    out = bench.on_stack("node", bench.script("node_http.js"), "client", PEER, 8080).succeed(60)
    expect(f"large {sha256(source)}" in out and "pongs 500" in out, out)


@watched(carries=10 * MB)
def java(bench, on_stack):
    need("java", "javac")
    classes = bench.path("classes")
    built = subprocess.run(["javac", "-d", classes, bench.script("HttpHash.java")], capture_output=True, text=True,
                           check=False)
    if built.returncode != 0:
        raise Skip(f"javac: {built.stderr.strip()[:100]}")
    http_server_case(bench, on_stack, ["java", "-cp", classes, "HttpHash"])


@watched(carries=10 * MB)
def java_client(bench):
    need("java", "javac")
    start_nginx(bench, False)
    source = bench.random_file("www/large", 10 * MB)
    os.chmod(source, 0o644)
    classes = bench.path("classes")
    subprocess.run(["javac", "-d", classes, bench.script("HttpFetch.java")], check=True)
    out = bench.on_stack("java", "-cp", classes, "HttpFetch", f"http://{PEER}:8080").succeed(60)
    expect(f"large {sha256(source)}" in out and "pongs 500" in out, out)


@watched(carries=1 * MB)
def grpc(bench, on_stack):
    if not any(os.path.isdir(os.path.join(folder, "grpc")) for folder in ("/usr/lib/python3/dist-packages",)):
        raise Skip("no python3-grpcio on this machine")
    host = bench.host(on_stack)
    script = bench.script("grpc_hello.py")
    server = bench.server(on_stack, PYTHON, script, "server", host, 50051)
    bench.wait_for_port(server, host, 50051)
    out = bench.client(on_stack, PYTHON, script, "client", host, 50051).succeed(60)
    expect("right: 500" in out, out)


def add_cases(add):
    for on_stack, where in ROLES:
        add(f"nginx {where}: curl, wget, ab, wrk", nginx, on_stack)
    add("nginx on the stack, a master and a worker that gives up root", nginx, True,
        "master_process on", " deferred backlog=2048 so_keepalive=on")
    add("haproxy on the stack before two nginx", haproxy)
    for on_stack, where in ROLES:
        add(f"Python's http.server {where}: curl, urllib, ab", python_http, on_stack)
        add(f"Python's asyncio {where}: 200 connections at once", python_asyncio, on_stack)
    add("Node's http on the stack", node, True)
    add("Node's http from the stack", node_client)
    add("Java's HttpServer on the stack", java, True)
    add("Java's HttpClient from the stack", java_client)
    for on_stack, where in ROLES:
        add(f"gRPC {where}", grpc, on_stack)
