/// Commands that change what is known of a user, and those that tell about it; the shard answers them.
extension CommandTable {
    private static let index = CommandArgument.string("name", token: "INDEX").optional
    private static let count = CommandArgument.integer("n", token: "COUNT").optional
    private static let writing = ["@write", "@fast"]
    private static let reading = ["@read", "@slow"]

    package static let eventCommands: [CommandSpecification] = [
        CommandSpecification(
            .event,
            "event",
            arity: -3,
            owner: .handler,
            keys: .first,
            flags: ["write", "denyoom", "fast"],
            categories: writing,
            group: "user",
            summary:
                "The user took an item. `OK` once that is durable. The same user, item and time again replaces the weight, "
                + "other times add up. Without `AT` the server uses its own clock, so repeated events count separately: a client that "
                + "may send an event again gives `AT`. Needs `--state`.",
            complexity: "O(log events), and a flush of the disk that all who wait share",
            arguments: [
                .key("user"), .string("item"), CommandArgument.double("weight").optional,
                CommandArgument.integer("unix-ms", token: "AT").optional, index,
            ],
            reply: ("simple string: OK, or IGNORED and why", "as RESP2"),
            pipelineClass: .changes
        ),
        CommandSpecification(
            .eventDelete,
            "event.del",
            arity: -3,
            owner: .handler,
            keys: .first,
            flags: ["write"],
            categories: ["@write", "@slow"],
            group: "user",
            summary:
                "Takes an item out of the user's history: all events with it, and what was trained of it, until an event "
                + "with it comes again. Needs `--state`.",
            complexity: "O(events of the user)",
            arguments: [.key("user"), .string("item"), index],
            reply: ("1 or 0: whether it was in the history", "1 or 0: whether it was in the history")
        ),
        CommandSpecification(
            .forget,
            "forget",
            arity: -2,
            owner: .handler,
            keys: .first,
            flags: ["write"],
            categories: ["@write", "@slow"],
            group: "user",
            summary:
                "Deletes all events of a user and masks what versions hold of the user, now and later: from the reply on no "
                + "answer draws on it. Events that come later make a new history. Needs `--state`.",
            complexity: "O(events of the user)",
            arguments: [.key("user"), index],
            reply: ("1 or 0: whether anything was known", "1 or 0: whether anything was known")
        ),
        CommandSpecification(
            .atomic,
            "atomic",
            arity: -4,
            owner: .handler,
            keys: .first,
            flags: ["write", "denyoom", CommandSpecification.noMulti],
            categories: ["@write", "@slow"],
            group: "user",
            summary:
                "Stores several changes together, all or none: for each the number of its words, then the words, as in "
                + "`ATOMIC u1 3 EVENT u1 i7 2 FORGET {u1}b`. All are of users in the slot of `user`; at most 500, with a log 100. `MULTI` is "
                + "the usual way to ask for this; a router sends it in this form. Needs `--state`.",
            complexity: "That of the changes",
            arguments: [
                .key("user"), CommandArgument.block("change", [.integer("words"), .string("word")]).multiple,
            ],
            reply: ("array of the changes' replies", "array of the changes' replies")
        ),
        CommandSpecification(
            .waitpos,
            "waitpos",
            arity: -3,
            owner: .handler,
            keys: .first,
            flags: ["readonly", "blocking"],
            categories: ["@read", "@slow", "@blocking"],
            group: "user",
            summary:
                "Waits until this replica has applied a position that EVENT, EVENT.DEL or FORGET gave of this user (see "
                + "`CLIENT CAPA position`), at most 1000 ms or as many as are given, up to 60000; `TIMEOUT` then. Commands "
                + "behind it on the connection wait as well. A position of a log that was replaced is answered at once: "
                + "`IGNORED`, and why. Needs `--log`.",
            complexity: "O(1)",
            arguments: [.key("user"), .string("position"), CommandArgument.integer("ms", token: "TIMEOUT").optional],
            reply: ("simple string: OK", "simple string: OK"),
            // What is read behind it must wait.
            pipelineClass: .alone
        ),
        CommandSpecification(
            .seen,
            "seen",
            arity: -2,
            owner: .handler,
            keys: .first,
            flags: ["readonly"],
            categories: reading,
            group: "user",
            summary:
                "The items of the user's history, each once: events newest first, then what was trained, which has no times.",
            complexity:
                "O(n + repeated events on the same items) with COUNT, O(events + trained items of the user) without",
            arguments: [.key("user"), count, .flag("WITHTIMES"), index],
            reply: (
                "array of items; with times flat: item, unix-ms or null",
                "array of items; with times an array of [item, unix-ms or null]"
            )
        ),
        CommandSpecification(
            .explain,
            "explain",
            arity: -3,
            owner: .handler,
            keys: .first,
            flags: ["readonly"],
            categories: reading,
            group: "user",
            summary:
                "Which items of the user's history made an item's score, and how much of it each: `contributions`, `rest` and "
                + "`baseline` (μ + b_i of a biased model, else 0) add up to `score`; `events` is how many items the history "
                + "has. The 10 that matter most unless `COUNT` says else. For vectors that are folded in, on ip "
                + "and cosine.",
            complexity: "One fold-in: O(events × dimension² + dimension³)",
            arguments: [.key("user"), .string("item"), count, index],
            reply: (
                "flat array: score, method, events, baseline, contributions (array of item, weight, contribution), rest",
                "map: score, method, events, baseline, contributions (array of [item, weight, contribution]), rest"
            )
        ),
        CommandSpecification(
            .whynot,
            "whynot",
            arity: -4,
            owner: .handler,
            keys: .first,
            flags: ["readonly"],
            categories: reading,
            group: "user",
            summary:
                "Why an item is not among the best k: `unknown-item`, `excluded`, `seen`, `rank` (others are better) or "
                + "`missed` (the search did not find it); `answered` where it is. With its true rank and scores.",
            complexity:
                "O(items × dimension), always on a worker thread: the rank is counted, not estimated. On very large indexes it "
                + "may end in TIMEOUT",
            arguments: [.key("user"), .string("item"), .integer("k")] + whynotOptions,
            reply: (
                "flat array: reason, rank, score, kth-score; null where there is none",
                "map: reason, rank, score, kth-score; null where there is none"
            )
        ),
    ]
}
