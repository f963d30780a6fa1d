extension CommandSpecification {
    static let client = CommandSpecification(
        .container,
        name: "client",
        flags: fastFlags,
        categories: ["@slow", "@connection"],
        group: "connection",
        summary: "Says and sets what is known of connections.",
        complexity: "Depends on the subcommand",
        reply: okReply,
        subcommands: [
            sub(.clientID, summary: "Number of this connection.", reply: ("integer", "integer")),
            sub(
                .clientGetName,
                summary: "Name of this connection.",
                reply: ("bulk string or null", "bulk string or null")
            ),
            sub(
                .clientSetName,
                summary: "Names this connection.",
                arguments: [.string("connection-name")]
            ),
            sub(
                .clientSetInfo,
                summary: "Says which library the client uses.",
                arguments: [
                    .oneof("attr", [.string("libname", token: "LIB-NAME"), .string("libver", token: "LIB-VER")])
                ]
            ),
            sub(
                .clientCapabilities,
                summary:
                    "Names what the client can do; unknown capabilities are passed over. With `position`, EVENT, EVENT.DEL and "
                    + "FORGET answer with an array of their reply and a position for WAITPOS (null without a log), until RESET.",
                arguments: [.string("capability").multiple]
            ),
            sub(
                .clientInfo,
                summary: "This connection's line of CLIENT LIST.",
                reply: ("bulk string", "verbatim string")
            ),
            sub(
                .clientList,
                summary: "A line per connection.",
                complexity: "O(connections)",
                arguments: [
                    .oneof(
                        "filter",
                        [
                            .block("type", token: "TYPE", [.word("NORMAL")]),
                            CommandArgument.integer("id", token: "ID").multiple,
                        ]
                    ).optional
                ],
                admin: true,
                reply: ("bulk string", "verbatim string")
            ),
            sub(
                .clientKill,
                summary: "Closes connections.",
                complexity: "O(connections)",
                arguments: [
                    .oneof(
                        "filter",
                        [
                            .string("ip:port"),
                            .block("new-format", [ClientKillArguments.filter]).multiple,
                        ]
                    )
                ],
                admin: true,
                reply: ("OK with one address, else the number closed as integer", "as RESP2")
            ),
            sub(
                .clientTracking,
                summary: "`OFF` is accepted, `ON` is an error: client-side caching is not served.",
                arguments: [.oneof("enabled", [.word("ON"), .word("OFF")])],
                takesFurtherWords: true
            ),
            sub(
                .clientNoEvict,
                summary: "Accepted; changes nothing.",
                arguments: [.oneof("enabled", [.word("ON"), .word("OFF")])]
            ),
            sub(
                .clientNoTouch,
                summary: "Accepted; changes nothing.",
                arguments: [.oneof("enabled", [.word("ON"), .word("OFF")])]
            ),
            sub(
                .clientReply,
                summary: "Turns replies off and on, or leaves out the next one.",
                arguments: [.oneof("action", [.word("ON"), .word("OFF"), .word("SKIP")])]
            ),
            help(of: "client"),
        ],
        inTransaction: .refused
    )
}

extension Request {
    /// A name of a client or library: printable ASCII without spaces, so that CLIENT LIST stays one line per client.
    package func label(_ index: Int) throws(ArgumentFailure) -> String {
        let label = self.withArgument(index) { bytes -> String? in
            guard bytes.count <= 128, bytes.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else { return nil }
            return String(decoding: bytes, as: UTF8.self)
        }
        guard let label else {
            throw ArgumentFailure("Client names cannot contain spaces, newlines or special characters")
        }
        return label
    }
}
