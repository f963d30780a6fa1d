import AnnexCore
import AnnexLog
import AnnexWire
import Testing

/// Which streams `trim-log` cuts where, by what the backups say of themselves.
@Suite struct TrimmingTests {
    private static let name = EntryName("shop")!
    private static let log = LogIdentity(high: 1, low: 2)

    private func mark(_ number: UInt64) -> LogMark {
        LogMark(position: LogPosition(milliseconds: number, sequence: 0), count: number)
    }

    /// - Parameter marks: of the blocks that it has anything of.
    private func snapshot(_ name: String, _ slots: String?, _ marks: [Int: UInt64]) -> LogSnapshot {
        LogSnapshot(
            name: name,
            marks: (0..<16).map { block in marks[block].map { self.mark($0) } ?? .start },
            slots: slots.flatMap { SlotSet(parsing: $0) },
            identity: Self.log
        )
    }

    private func trimming(_ snapshots: [LogSnapshot], slots: String = "0-16383") throws -> LogTrimming {
        let slots = try #require(SlotSet(parsing: slots))
        return LogTrimming(index: Self.name, prefix: "annex", snapshots: snapshots, slots: slots)
    }

    private func all(_ blocks: Range<Int>, _ number: UInt64) -> [Int: UInt64] {
        Dictionary(uniqueKeysWithValues: blocks.map { ($0, number) })
    }

    /// Two shards, two backups of each, in one call: each stream behind the older one of its own shard.
    @Test func eachShardByItsOwnBackups() throws {
        let found = try self.trimming([
            self.snapshot("a-old", "0-8191", self.all(0..<8, 5)), self.snapshot("a", "0-8191", self.all(0..<8, 9)),
            self.snapshot("b", "8192-16383", self.all(8..<16, 7)),
            self.snapshot("b-old", "8192-16383", self.all(8..<16, 3)),
        ])
        #expect(found.steps.map(\.block) == Array(0..<16) && found.untouched.isEmpty)
        #expect(
            found.steps.map(\.mark.position.milliseconds) == Array(repeating: 5, count: 8)
                + Array(repeating: 3, count: 8)
        )
    }

    @Test func whatStaysWhole() throws {
        // One shard's backup is missing; one has nothing of a stream; two share a block, of which one is missing.
        var found = try self.trimming([self.snapshot("a", "0-8191", self.all(0..<7, 5))])
        #expect(found.steps.map(\.block) == Array(0..<7))
        #expect(found.untouched.map(\.block) == Array(7..<16))
        #expect(found.untouched[0].reason == "a has nothing of it")
        #expect(found.untouched[1].reason == "no backup has its slots, 8192-9215")
        found = try self.trimming([self.snapshot("a", "0-499", [0: 5])])
        #expect(found.steps.isEmpty && found.untouched[0].reason == "no backup has its slots 500-1023")
        found = try self.trimming([self.snapshot("a", "0-499", [0: 5]), self.snapshot("b", "500-2047", [0: 4, 1: 8])])
        #expect(found.steps.map(\.block) == [0, 1] && found.steps.map(\.mark) == [self.mark(4), self.mark(8)])
        // Nothing is known of whose it is: all that is asked for.
        found = try self.trimming([self.snapshot("old", nil, self.all(0..<16, 5))], slots: "0-2000")
        #expect(found.steps.map(\.block) == [0] && found.untouched.isEmpty)
    }

    @Test func backupsOfAnotherLog() throws {
        let found = try self.trimming([self.snapshot("a", "0-8191", [0: 5])])
        #expect(found.refusal(identity: .bulk(Array("\(Self.log)".utf8))) == nil)
        #expect(found.refusal(identity: .null)?.contains("a is a backup of the log") == true)
        let other = LogIdentity(high: 1, low: 3)
        #expect(found.refusal(identity: .bulk(Array("\(other)".utf8)))?.contains("\(other)") == true)
        #expect(found.refusal(identity: .bulk(Array("x".utf8)))?.contains("which is none") == true)
        #expect(found.refusal(identity: .error("NOPERM no"))?.contains("NOPERM") == true)
    }
}
