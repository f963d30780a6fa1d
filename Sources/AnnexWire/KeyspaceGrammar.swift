/// `RELOAD index [version]`.
package struct ReloadArguments: Equatable, Sendable {
    /// Position of the index's name.
    package var index: Int { 1 }
    /// Position of the version's name; nil: what `current` names.
    package let version: Int?

    /// The arity must have been checked.
    package init(_ request: Request) throws(ArgumentFailure) {
        guard request.count <= 3 else { throw .wrongArity("reload") }
        self.version = request.count == 3 ? 2 : nil
    }
}

/// `SCAN cursor [MATCH pattern] [COUNT n] [TYPE type]`. The last one of an option counts, as in Redis.
package struct ScanArguments: Equatable, Sendable {
    /// 0 begins; every scan ends in one step, so any other cursor has nothing left to give.
    package let cursor: Int
    /// Position of the pattern.
    package private(set) var pattern: Int?
    /// Position of the type.
    package private(set) var type: Int?

    /// The arity must have been checked.
    package init(_ request: Request) throws(ArgumentFailure) {
        guard let cursor = request.integer(1), cursor >= 0 else { throw ArgumentFailure("invalid cursor") }
        self.cursor = cursor
        var at = 2
        while at < request.count {
            guard at + 1 < request.count else { throw .syntax(request, near: at) }
            if request.matches(at, "MATCH") {
                self.pattern = at + 1
            } else if request.matches(at, "TYPE") {
                self.type = at + 1
            } else if request.matches(at, "COUNT") {
                guard let count = request.integer(at + 1) else {
                    throw ArgumentFailure("value is not an integer or out of range")
                }
                guard count >= 1 else { throw .syntax(request, near: at + 1) }
            } else {
                throw .syntax(request, near: at)
            }
            at += 2
        }
    }
}

/// `MEMORY USAGE key [SAMPLES n]`; the samples change nothing.
package struct MemoryUsageArguments: Equatable, Sendable {
    /// Position of the index's name.
    package var key: Int { 2 }

    /// The arity must have been checked.
    package init(_ request: Request) throws(ArgumentFailure) {
        guard request.count > 3 else { return }
        guard request.count == 5, request.matches(3, "SAMPLES") else { throw .syntax(request, near: 3) }
        guard let samples = request.integer(4), samples >= 0 else {
            throw ArgumentFailure("value is not an integer or out of range")
        }
    }
}
