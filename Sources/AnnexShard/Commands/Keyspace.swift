import AnnexCore
import AnnexEngine
import AnnexWire

/// EXISTS, SCAN and MEMORY: Redis's key space, whose keys are the names of the indexes.
extension ShardHandler {
    func exists(_ request: Request, _ reply: inout ReplyWriter) -> Disposition {
        let names = self.lanes.map(\.version.description.index.value)
        let nanos = Double(request.count) * WorkEstimate.nanosPerIdentifier
        return Self.run(nanos, &reply) { $0.integer(Self.count(names, request)) }
    }

    /// Returns how many arguments of a request name an index; one that is named twice counts twice.
    private static func count(_ names: [String], _ request: Request) -> Int {
        (1..<request.count).count { index in
            request.withArgument(index) { bytes in names.contains { $0.utf8.elementsEqual(bytes) } }
        }
    }

    /// Gives all names in one step: a cursor other than 0 has nothing left to give.
    func scan(_ request: Request, _ reply: inout ReplyWriter) throws(ArgumentFailure) {
        let arguments = try ScanArguments(request)
        let place = arguments.pattern.map { $0..<$0 + 1 } ?? 0..<0
        let pattern = try request.patterns(place, caseSensitive: true).first
        let typeMatches = arguments.type.map { request.matches($0, "VECTORSET") } ?? true
        let names =
            arguments.cursor == 0 && typeMatches
            ? self.lanes.map(\.version.description.index.value).filter { pattern?.matches($0) ?? true } : []
        reply.array(2)
        reply.bulk("0")
        reply.array(names.count)
        for name in names { reply.bulk(name) }
    }

    func memoryUsage(_ request: Request, _ reply: inout ReplyWriter) throws(ArgumentFailure) {
        let arguments = try MemoryUsageArguments(request)
        guard let lane = self.find(request, arguments.key) else { return reply.null() }
        reply.integer(lane.version.totalBytes)
    }
}
