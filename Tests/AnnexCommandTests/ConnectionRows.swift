/// What the connection and the process answer by themselves.
extension CommandTableOfRows {
    static let connections = [
        Self("connection", Scene(), Self.connection),
        Self("protocol and password", Scene(password: "secret", greets: false), Self.password),
        Self("no password", Scene(greets: false), Self.noPassword),
        Self("clients", Scene(), Self.client),
    ]

    private static let connection: [CommandRow] = [
        CommandRow("PING", "+PONG"), CommandRow("PING hello", "'hello'"),
        CommandRow("PING a b", "-ERR wrong number of arguments for 'ping' command"),
        CommandRow(#"ECHO \x00\r\nx"#, #"'\x00\r\nx'"#),
        CommandRow("SELECT 0", "+OK"), CommandRow("SELECT 1", "-ERR DB index is out of range"),
        CommandRow("SELECT x", "-ERR value is not an integer or out of range"),
        CommandRow("READONLY", "+OK"), CommandRow("READWRITE", "+OK"), CommandRow("ASKING", "+OK"),
        CommandRow("ROLE", "*3 'master' :0 *0"),
        CommandRow("ACL WHOAMI", "'default'"),
        CommandRow("ACL LIST", "-ERR unknown subcommand 'LIST'. Try ACL HELP."),
        CommandRow("ACL HELP", "*4 'ACL WHOAMI' '~default' 'ACL HELP' '~subcommands'"),
        CommandRow("DEADLINE 4102444799999", "+OK"), CommandRow("TOPK u0 1", "*1 'i2'"),
        CommandRow("DEADLINE 1", "+OK"), CommandRow("TOPK u0 1", "-TIMEOUT"),
        CommandRow("TOPK u0 1", "*1 'i2'"),
        CommandRow("DEADLINE soon", "-ERR invalid DEADLINE 'soon': give whole milliseconds since 1970, in 64 bits"),
        CommandRow("DEADLINE 4102444800000", "-ERR invalid DEADLINE '4102444800000': the time is beyond the year 2100"),
        CommandRow("GET shop", "-ERR unknown command 'GET', with args beginning with: 'shop'"),
        CommandRow(#"NO\r\nPE a\x01b"#, #"-ERR unknown command 'NO\x0d\x0aPE', with args beginning with: 'a\x01b'"#),
    ]

    private static let noPassword: [CommandRow] = [
        CommandRow("AUTH secret", "-ERR AUTH called without any password configured"),
        CommandRow("AUTH default secret", "+OK"),
        CommandRow("AUTH a b c", "-ERR syntax error: AUTH takes a password, or a user name and a password"),
        CommandRow(
            "HELLO",
            "*14 'server' 'annex' 'version' '8.2.0' 'proto' :2 'id' :<n> 'mode' 'standalone' 'role' 'master' 'modules' *0"
        ),
        CommandRow("HELLO 4", "-NOPROTO unsupported protocol version"),
        CommandRow("HELLO x", "-ERR Protocol version is not an integer or out of range"),
        CommandRow("HELLO 3 SETNAME", "-ERR syntax error near 'SETNAME'"),
        CommandRow(
            #"HELLO 3 SETNAME a\x01b"#,
            "-ERR Client names cannot contain spaces, newlines or special characters"
        ),
        CommandRow("VISMEMBER shop i0", ":1"),
    ]

    private static let password: [CommandRow] = [
        CommandRow("PING", "-NOAUTH Authentication required."),
        CommandRow("AUTH wrong", "-WRONGPASS invalid username-password pair or user is disabled."),
        CommandRow("AUTH other secret", "-WRONGPASS"),
        CommandRow("HELLO 3", "-NOAUTH HELLO must be called with the client already authenticated"),
        CommandRow("HELLO 3 AUTH default wrong", "-WRONGPASS"),
        CommandRow("AUTH secret", "+OK"),
        CommandRow("VISMEMBER shop i0", ":1"),
        CommandRow(
            "HELLO 3 AUTH default secret SETNAME me",
            "%7 'server' 'annex' 'version' '8.2.0' 'proto' :3 'id' :<n> 'mode' 'standalone' 'role' 'master' 'modules' *0"
        ),
        CommandRow("CLIENT GETNAME", "'me'"),
        CommandRow("VISMEMBER shop i0", "#t"),
        CommandRow("RESET", "+RESET"),
        CommandRow("PING", "-NOAUTH Authentication required."),
        CommandRow("AUTH default secret", "+OK"),
        CommandRow("CLIENT GETNAME", "nil"),
        CommandRow("QUIT", "+OK"),
    ]

    private static let client: [CommandRow] = [
        CommandRow("CLIENT ID", ":<n>"),
        CommandRow("CLIENT GETNAME", "nil"),
        CommandRow("CLIENT SETNAME me", "+OK"), CommandRow("CLIENT GETNAME", "'me'"),
        CommandRow("CLIENT SETNAME x×128", "+OK"),
        CommandRow("CLIENT SETNAME x×129", "-ERR Client names cannot contain"),
        CommandRow("CLIENT SETNAME me", "+OK"),
        CommandRow("CLIENT SETINFO LIB-NAME tables", "+OK"), CommandRow("CLIENT SETINFO LIB-VER 1.2", "+OK"),
        CommandRow("CLIENT SETINFO LIB-AGE 3", "-ERR syntax error near 'LIB-AGE'"),
        CommandRow("CLIENT INFO", "`~ name=me `"), CommandRow("CLIENT LIST", "`~ lib-name=tables lib-ver=1.2 `"),
        CommandRow("CLIENT LIST TYPE NORMAL", "`~ name=me `"), CommandRow("CLIENT LIST TYPE master", "``"),
        CommandRow("CLIENT LIST ID 0", "``"), CommandRow("CLIENT LIST ID x", "-ERR Invalid client ID"),
        CommandRow("CLIENT LIST ALL", "-ERR syntax error near 'ALL'"),
        CommandRow("CLIENT CAPA redirect", "+OK"),
        CommandRow("CLIENT TRACKING OFF", "+OK"),
        CommandRow("CLIENT TRACKING ON", "-ERR CLIENT TRACKING is not served"),
        CommandRow("CLIENT NO-EVICT ON", "+OK"), CommandRow("CLIENT NO-EVICT OFF", "+OK"),
        CommandRow("CLIENT NO-EVICT 1", "-ERR syntax error near '1'"),
        CommandRow("CLIENT NO-TOUCH ON", "+OK"), CommandRow("CLIENT NO-TOUCH OFF", "+OK"),
        CommandRow("CLIENT KILL 1.2.3.4:5", "-ERR No such client"),
        CommandRow("CLIENT KILL ID 0", ":0"), CommandRow("CLIENT KILL ADDR 1.2.3.4:5 LADDR 1.2.3.4:5", ":0"),
        CommandRow("CLIENT KILL ID 0 SKIPME NO", ":0"), CommandRow("CLIENT KILL SKIPME YES", ":0"),
        CommandRow("CLIENT KILL ID", "-ERR"), CommandRow("CLIENT KILL ID 1 AGE 3", "-ERR syntax error near 'AGE'"),
        CommandRow("CLIENT REPLY SKIP", ""), CommandRow("PING", ""), CommandRow("PING", "+PONG"),
        CommandRow("CLIENT REPLY OFF", ""), CommandRow("PING", ""), CommandRow("CLIENT REPLY ON", "+OK"),
        CommandRow("CLIENT REPLY MAYBE", "-ERR syntax error near 'MAYBE'"),
        CommandRow("CLIENT PAUSE 5", "-ERR unknown subcommand 'PAUSE'. Try CLIENT HELP."),
        CommandRow("CLIENT HELP", "*26 'CLIENT ID' '~Number' <rest>"),
    ]
}
