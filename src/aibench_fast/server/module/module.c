/* The AI.* commands as a server module. */
int RedisModule_OnLoad(void);
int RedisModule_OnLoad(void) { return 0; }
