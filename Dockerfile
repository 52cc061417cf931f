# The image of sweeper: one static binary, no shell, no root.
#
#   docker build --build-arg VERSION=1.2.3 -t sweeper .
#   docker run --rm -e SWEEPER_DATABASE_URL -v "$PWD/policies:/etc/sweeper/policies:ro" sweeper plan
#
# The base images are arguments, for mirrors and for machines that reach no
# registry (there: BUILD_IMAGE any image with Go 1.26, RUN_IMAGE=scratch, and
# --network=host where containers reach no module proxy). Time zones are in the
# binary; what the default base adds to scratch is certificate authorities.
ARG BUILD_IMAGE=golang:1.26
ARG RUN_IMAGE=gcr.io/distroless/static-debian12:nonroot

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
# Where modules come from, if not from where the toolchain takes them.
ARG GOPROXY
ARG GOSUMDB
# Modules change less often than the code: a layer of their own.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=dev
RUN CGO_ENABLED=0 GOOS=${TARGETOS} GOARCH=${TARGETARCH} \
    go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/sweeper ./cmd/sweeper

FROM ${RUN_IMAGE}
ARG VERSION=dev
LABEL org.opencontainers.image.title="sweeper" \
      org.opencontainers.image.description="Data retention sidecar for PostgreSQL" \
      org.opencontainers.image.source="https://github.com/pgsweeper/sweeper" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=build /out/sweeper /sweeper
# By number, so that Kubernetes can check runAsNonRoot.
USER 65532:65532
# Probes and metrics (SWEEPER_HTTP_ADDR).
EXPOSE 9637
ENTRYPOINT ["/sweeper"]
CMD ["--help"]
