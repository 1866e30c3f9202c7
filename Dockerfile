# The broker as compiled JavaScript. uWebSockets.js is a glibc binary: Debian, not Alpine.
# There is no secret in the image: NATS_URL, KATA_NATS_AUTH_SEED and KATA_NATS_XKEY_SEED come from the environment
# (`node broker/bin/kata.js nats-secrets` makes them, docker-compose.yml passes them on).
FROM node:20-bookworm-slim AS build
WORKDIR /kata
COPY . .
RUN npm ci && npm run build && npm prune --omit=dev

FROM node:20-bookworm-slim
ENV NODE_ENV=production
WORKDIR /kata
COPY --from=build /kata/package.json ./
COPY --from=build /kata/node_modules ./node_modules
COPY --from=build /kata/protocol ./protocol
COPY --from=build /kata/publisher-sdk ./publisher-sdk
COPY --from=build /kata/client-sdk ./client-sdk
COPY --from=build /kata/broker ./broker
USER node
EXPOSE 8080
CMD ["node", "broker/dist/main.js"]
