// `--import tsx` leaves worker threads alone; this loads TypeScript sources in one.
import { register } from "tsx/esm/api";

register();
