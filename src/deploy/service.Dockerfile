# Admin API, worker and commands: one image.
FROM node:24.21.0-bookworm-slim AS console

WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY src src
RUN npm run build:console

FROM node:24.21.0-bookworm-slim

WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --omit=optional
COPY db db
COPY src src
COPY tasks tasks
COPY --from=console /app/.cache/console .cache/console
RUN mkdir /archive && chown node:node /archive
USER node
ENTRYPOINT ["sh", "src/deploy/run-service.sh"]
