import AnnexCore
import AnnexEngine
import AnnexShard
import AnnexTestSupport
import AnnexVersionSupport
import AnnexWire
import CAllocationCounter
import Dispatch
import NIOCore
import Synchronization
import Testing

/// Commands in, replies out, without a socket.
final class Bench {
    let handler: ShardHandler
    private var connection = ConnectionState(id: 1, address: "test", authenticated: true)
    /// Whether the last command left the loop.
    private(set) var ranElsewhere = false
    /// What ends work that has left the loop.
    var stop = StopSignal()
    private var reply: ReplyWriter

    init(_ engine: Engine, version: RESPVersion = .three) throws {
        self.handler = try ShardHandler(engine: engine)
        self.reply = ReplyWriter(version: version, buffer: ByteBufferAllocator().buffer(capacity: 1 << 20))
    }

    /// The bytes of a reply.
    func bytes(_ words: [String]) -> String {
        self.run(Request(words.map { Array($0.utf8) }))
        return String(buffer: self.reply.buffer)
    }

    func run(_ request: Request) {
        self.reply.rewind(to: 0)
        guard case .command(_, _, .handler(let id)) = CommandTable.standard.lookup(request)
        else {
            Issue.record("not in the table")
            return
        }
        self.ranElsewhere = false
        switch self.handler.handle(id, request, connection: &self.connection, reply: &self.reply) {
        case .done, .close: break
        case .elsewhere(_, let work):
            self.ranElsewhere = true
            work(&self.reply, self.stop)
        case .pending(_, let begin):
            let sink = OneReply()
            begin(ReplyPromise(sink, number: 0))
            sink.wait()(&self.reply)
        }
    }

    func ask(_ words: String...) throws -> ReplyValue { try self.ask(words) }

    func ask(_ words: [String]) throws -> ReplyValue {
        self.run(Request(words.map { Array($0.utf8) }))
        var parser = ReplyParser()
        var buffer = self.reply.buffer
        let value = try #require(try parser.next(&buffer))
        #expect(buffer.readableBytes == 0, "one reply, no more")
        return value
    }
}

/// Waits for one reply.
private final class OneReply: ReplySink {
    private let given = Mutex<ReplyPromise.Writing?>(nil)
    private let end = DispatchSemaphore(value: 0)

    func fulfil(_ number: Int, _ write: @escaping ReplyPromise.Writing) {
        self.given.withLock { $0 = write }
        self.end.signal()
    }

    func fulfilNow(_ number: Int, _ bytes: ByteBuffer, isLast: Bool) { Issue.record("a shard writes its replies") }
    func hold(_ number: Int, _ change: Int) -> Int? { nil }
    func elsewhere(_ number: Int, _ work: @escaping ReplyPromise.Work) {
        Issue.record("a shard has its replies made whole")
    }
    func cut() { Issue.record("a shard's replies are whole") }

    func wait() -> ReplyPromise.Writing {
        self.end.wait()
        let write = self.given.withLock { $0 }
        return { writer in write?(&writer) }
    }
}

@Suite struct ShardTests {
    /// The query path allocates nothing per hit: the same number of allocations for 5 results and for 100.
    @Test(arguments: ["HNSW16", "IVF16,SQ8", "Flat"]) func allocationsDoNotDependOnHits(_ kind: String) throws {
        let small = try SmallVersion(kind: kind)
        let bench = try Bench(
            Engine(indexes: [small.description.index]) { _, _ in try ServedVersion(loading: small.description) }
        )
        func allocations(_ k: String, _ words: [String]) -> Int {
            let request = Request((["TOPK", "u7", k] + words).map { Array($0.utf8) })
            for _ in 0..<20 { bench.run(request) }
            let before = CAllocationCounter_count()
            for _ in 0..<100 { bench.run(request) }
            return CAllocationCounter_count() - before
        }
        let effort = kind.hasPrefix("HNSW") ? ["EF", "100"] : kind.hasPrefix("IVF") ? ["KAPPA", "0.9"] : []
        for words in [[], ["WITHATTRIBS"], ["TRUTH"], effort, ["EXCLUDE", "2", "i1", "i2"]] {
            let few = allocations("5", words)
            let many = allocations("100", words)
            print(
                "allocations in 100 TOPK on \(kind) \(words.joined(separator: " ")): \(few) for k = 5, \(many) for k = 100"
            )
            #expect(many <= few + 100, "at most one more per query, none per hit: \(words)")
        }
    }

    @Test func shapesOfBothKinds() throws {
        let small = try SmallVersion(items: 200, users: 3)
        let bench = try Bench(
            Engine(indexes: [small.description.index]) { _, _ in try ServedVersion(loading: small.description) }
        )
        #expect(try bench.ask("TOPK", "u1", "3").elements?.count == 3)
        #expect(try bench.ask("TOPK", "u1", "1000").elements?.count == 200, "k beyond the index gives all")
        #expect(try bench.ask("MTOPK", "3", "u0", "nobody", "u2", "2").elements?[1] == .null)
        #expect(try bench.ask("SCORE", "u1", "2", "i1", "absent").elements?.last == .null)
        #expect(try bench.ask("VISMEMBER", "shop", "i5") == .boolean(true))
        #expect(try bench.ask("VRANDMEMBER", "shop", "-7").elements?.count == 7)
        #expect(try bench.ask("VEMB", "shop", "i5").elements?.count == 24)
        for (words, code) in [
            (["TOPK", "nobody", "3"], "NOUSER"), (["TOPK", "u1", "3", "INDEX", "x"], "NOINDEX"),
            (["VSIM", "shop", "ELE", "x"], "NOITEM"), (["VSIM", "shop", "VALUES", "2", "1", "2"], "BADVECTOR"),
            (["TOPK", "u1", "3", "NPROBE", "4"], "ERR"), (["TOPK", "u1", "0"], "ERR"),
            (["TOPK", "u1", "10001"], "ERR"),
            (["TOPK", "u1", "9223372036854775807"], "ERR"), (["VSIM", "shop", "ELE", "i1", "EPSILON", "0.1"], "ERR"),
        ] {
            guard case .error(let text) = try bench.ask(words) else {
                Issue.record("\(words) gave no error")
                continue
            }
            #expect(text.hasPrefix(code + " "), "\(words): \(text)")
        }
    }

    @Test func clustersTakeKappaAndNprobe() throws {
        let small = try SmallVersion(items: 2_000, users: 3, kind: "IVF8,SQ8")
        let bench = try Bench(
            Engine(indexes: [small.description.index]) { _, _ in try ServedVersion(loading: small.description) }
        )
        let truth = try bench.ask("TOPK", "u1", "10", "TRUTH")
        #expect(try bench.ask("TOPK", "u1", "10", "KAPPA", "1") == truth)
        #expect(try bench.ask("TOPK", "u1", "10", "NPROBE", "8") == truth)
        #expect(
            try bench.ask("VSIM", "shop", "ELE", "i7", "KAPPA", "1") == bench.ask("VSIM", "shop", "ELE", "i7", "TRUTH")
        )
        for words in [
            ["TOPK", "u1", "3", "KAPPA", "0"], ["TOPK", "u1", "3", "KAPPA", "1.1"],
            ["TOPK", "u1", "3", "KAPPA", "nan"],
            ["TOPK", "u1", "3", "KAPPA"], ["TOPK", "u1", "3", "KAPPA", "0.5", "TRUTH"], ["TOPK", "u1", "3", "EF", "9"],
            ["VSIM", "shop", "ELE", "i7", "KAPPA", "-1"],
        ] {
            guard case .error = try bench.ask(words) else {
                Issue.record("\(words) gave no error")
                continue
            }
        }
        let graph = try SmallVersion(items: 200, users: 3)
        let other = try Bench(
            Engine(indexes: [graph.description.index]) { _, _ in try ServedVersion(loading: graph.description) }
        )
        for words in [["TOPK", "u1", "3", "KAPPA", "0.5"], ["VSIM", "shop", "ELE", "i7", "KAPPA", "0.5"]] {
            guard case .error(let text) = try other.ask(words) else {
                Issue.record("\(words) gave no error")
                continue
            }
            #expect(text.contains("KAPPA is for inverted files"))
        }
    }

    /// After a swap every answer comes from the new version; a failed one leaves the old.
    @Test func swapAndFailedSwap() throws {
        let first = try SmallVersion(version: "v1", items: 300, dimension: 8)
        let second = try SmallVersion(version: "v2", items: 500, dimension: 16, seed: 9)
        let current = Mutex("v1")
        let engine = try Engine(indexes: [first.description.index]) { _, version in
            switch version?.value ?? current.withLock({ $0 }) {
            case "v1": return try ServedVersion(loading: first.description)
            case "v2": return try ServedVersion(loading: second.description)
            case let other: throw AnnexError(.notFound, "no version \(other)")
            }
        }
        let bench = try Bench(engine)
        #expect(try bench.ask("VDIM", "shop") == .integer(8))
        current.withLock { $0 = "v2" }
        #expect(try bench.ask("RELOAD", "shop") == .simple("v2"))
        #expect(try bench.ask("VDIM", "shop") == .integer(16))
        #expect(try bench.ask("VCARD", "shop") == .integer(500))
        guard case .error = try bench.ask("RELOAD", "shop", "v9") else {
            Issue.record("an absent version was loaded")
            return
        }
        #expect(try bench.ask("VDIM", "shop") == .integer(16))
        #expect(engine.status(of: first.description.index).failedReloads == 1)
        #expect(try bench.ask("RELOAD", "shop", "v1") == .simple("v1"))
        #expect(try bench.ask("VDIM", "shop") == .integer(8))
    }
}
