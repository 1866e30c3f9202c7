/** What `--nats` says where it stands alone: the URL is in the environment, where its password is not seen by all. */
export const FROM_ENV = "NATS_URL";
