# The runner in a container: it starts its jobs beside itself, through the engine's socket (see compose.yaml).
ARG NODE_IMAGE=node:20-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY scripts/build.mjs scripts/
COPY src src
RUN npm run build && npm prune --omit=dev --ignore-scripts --no-audit --no-fund && rm -rf node_modules/.cache

FROM ${NODE_IMAGE}
WORKDIR /app
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY package.json config.default.yml ./
COPY bin bin
# What runners on one engine must share: who has which GPU, which images they have pulled. Whoever they run as.
RUN mkdir -m 1777 /var/lib/opthub-runner
ENV NODE_ENV=production OPTHUB_RUNNER_HOME=/var/lib/opthub-runner
# A config.yml or a .env that is mounted here is read.
WORKDIR /work
# It is the first process of its container, and drains on SIGTERM.
ENTRYPOINT ["node", "/app/bin/opthub-runner.js"]
CMD ["fetcher"]
