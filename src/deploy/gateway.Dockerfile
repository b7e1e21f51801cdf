# OpenResty with pgmoon: the fat image has opm. resty.openssl does the SHA-256 of PostgreSQL's sign-in.
FROM openresty/openresty:1.27.1.2-bookworm-fat

RUN apt-get update \
  && apt-get install -y --no-install-recommends ca-certificates curl \
  && rm -rf /var/lib/apt/lists/*
RUN opm get leafo/pgmoon=1.16.0 fffonion/lua-resty-openssl=1.5.1

COPY src/gateway /etc/storage-qos
COPY src/deploy/gateway /etc/storage-qos
RUN mkdir /etc/storage-qos/logs
STOPSIGNAL SIGQUIT
CMD ["openresty", "-p", "/etc/storage-qos", "-c", "nginx.conf", "-e", "stderr", "-g", "daemon off;"]
