/** Where the IDE for queries is, in development. */
export const idePath = "/graphiql";
export const ideFiles = "/graphiql-static/";
