# Two static binaries and the certificate authorities, nothing else. The build context holds them:
#   RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --no-default-features --target x86_64-unknown-linux-gnu
#   cp target/x86_64-unknown-linux-gnu/release/{,docker-credential-}ecr-warden /etc/ssl/certs/ca-certificates.crt context/
# The credential helper is for the host: docker cp warden:/usr/bin/docker-credential-ecr-warden /usr/local/bin/
# Run it with the host's root at /host and host_prefix = "/host" (config/examples/container.toml).
FROM scratch
ARG BINARY=ecr-warden
ARG HELPER=docker-credential-ecr-warden
ARG CERTIFICATES=ca-certificates.crt
COPY ${BINARY} /usr/bin/ecr-warden
COPY ${HELPER} /usr/bin/docker-credential-ecr-warden
COPY ${CERTIFICATES} /etc/ssl/certs/ca-certificates.crt
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
VOLUME ["/var/lib/ecr-warden"]
EXPOSE 9876
ENTRYPOINT ["/usr/bin/ecr-warden"]
CMD ["run"]
