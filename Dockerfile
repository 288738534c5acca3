# marpd in a container, on the host's network:
#
#   docker build -t marpd .        # --build-arg VERSION=... --build-arg SOURCE=URL: for the labels
#   docker run --network host --cap-drop ALL --cap-add NET_ADMIN --cap-add NET_RAW --ulimit nice=30 --ulimit rtprio=1 \
#     -v /etc/marpd:/etc/marpd:ro -v /run/marpd:/run/marpd marpd
#
# /run/marpd holds the control socket and the memory of withdrawn hosts; shared with the host, both outlive the
# container. Nothing else is written, so --read-only works. With --cap-add SETUID --cap-add SETGID --cap-add KILL too,
# capture and `ip` run as nobody, otherwise as root with one capability each. Docker mounts /proc/sys read-only: set the
# kernel settings on the host (`marpctl doctor` names them), or add --security-opt systempaths=unconfined.

FROM node:24-trixie AS build
RUN apt-get update \
  && apt-get install -y --no-install-recommends libpcap-dev \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/marpd
# Packages first: they change less often than the sources, and compiling the native ones takes longest.
COPY package.json package-lock.json ./
COPY scripts/build-native.mjs scripts/*.h scripts/confine.c scripts/
RUN npm ci
COPY tsconfig.json tsconfig.page.json ./
COPY src src
RUN npm run build \
  && npm prune --omit=dev --ignore-scripts \
  # Of a compiled module only the .node file is needed.
  && rm -rf node_modules/*/build/Release/obj.target \
  && find node_modules/*/build -depth ! -name '*.node' \( -type f -o -type l -o -type d -empty \) -delete \
  && node -e "require('cap')"

FROM node:24-trixie-slim
ARG VERSION=0.1.0
ARG SOURCE=
LABEL org.opencontainers.image.title="marpd" \
  org.opencontainers.image.description="Mobile ARP first-hop router: a host keeps its IP address wherever it is plugged in" \
  org.opencontainers.image.licenses="MIT" \
  org.opencontainers.image.version="$VERSION" \
  org.opencontainers.image.source="$SOURCE"
RUN apt-get update \
  && apt-get install -y --no-install-recommends iproute2 libpcap0.8t64 util-linux \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/marpd
COPY package.json LICENSE ./
COPY config config
COPY --from=build /opt/marpd/node_modules node_modules
COPY --from=build /opt/marpd/dist dist
RUN ln -s /opt/marpd/dist/main.js /usr/local/bin/marpd \
  && ln -s /opt/marpd/dist/ctl.js /usr/local/bin/marpctl \
  && mkdir -p /run/marpd
# Asks the daemon, so a configuration that names another control.socket has to set MARPD_SOCKET.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["marpctl", "status", "--json"]
# marpd runs as root in the container with the capabilities that docker run leaves it: Docker gives added capabilities
# to no other user.
ENTRYPOINT ["marpd"]
CMD ["--config", "/etc/marpd/marpd.toml"]
