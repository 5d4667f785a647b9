// Who shops: a token from the user service, kept while the tab is open.

import { RpcError } from "./grpc-web.js";

const USERS = "souk.user.v1.UserService";
const TOKEN = "souk.token";
const EMAIL = "souk.email";

/** Tells its listeners ("change") when somebody comes or goes. */
export class Session extends EventTarget {
  get token() {
    return sessionStorage.getItem(TOKEN);
  }

  get email() {
    return sessionStorage.getItem(EMAIL) ?? "";
  }

  keep(token, email) {
    sessionStorage.setItem(TOKEN, token);
    sessionStorage.setItem(EMAIL, email);
    this.dispatchEvent(new Event("change"));
  }

  drop() {
    sessionStorage.removeItem(TOKEN);
    this.dispatchEvent(new Event("change"));
  }

  /** Signs in, making the account where there is none. */
  async signIn(client, { email, password, name }) {
    this.drop();
    let answer;
    try {
      answer = await client.call(`${USERS}/Login`, { email, password });
    } catch (error) {
      if (error.reason !== "BAD_CREDENTIALS") throw error;
      answer = await register(client, email, password, name);
    }
    this.keep(answer.access_token, email);
  }
}

async function register(client, email, password, display_name) {
  try {
    const request_id = crypto.randomUUID();
    return await client.call(`${USERS}/Register`, { email, password, display_name, request_id });
  } catch (error) {
    if (error.reason !== "EMAIL_TAKEN") throw error;
    throw new RpcError(error.code, "That is not the password of this account.", { reason: "BAD_CREDENTIALS" });
  }
}
