import AnnexCore
import AnnexLog
import Testing

/// What a stream says, and whether a replica may follow it.
@Suite struct StreamCheckTests {
    private func at(_ number: UInt64) -> LogPosition { LogPosition(milliseconds: number, sequence: 0) }

    /// A stream that had entries 1 to `added`, of which those from `first` on are left, read up to `read`.
    private func facts(read: UInt64, first: UInt64, added: UInt64) -> StreamFacts {
        var facts = StreamFacts(block: 2, mark: LogMark(position: self.at(read), count: read))
        facts.exists = true
        facts.last = self.at(added)
        facts.first = first <= added ? self.at(first) : nil
        facts.added = added
        facts.length = added >= first ? added - first + 1 : 0
        facts.hasEntry = read >= first && read <= added && read > 0
        return facts
    }

    /// Every small stream: a replica may follow if and only if it has read what is gone, and nothing that never was.
    @Test func smallStreams() {
        for added: UInt64 in 0...6 {
            for first in 1...(added + 1) {
                for read: UInt64 in 0...8 {
                    let problem = LogProblem(self.facts(read: read, first: first, added: added))
                    let expected: LogProblem.Kind? = read > added ? .lost : first - 1 > read ? .trimmed : nil
                    #expect(
                        problem?.kind == expected,
                        "\(added) added, from \(first) on, read \(read): \(String(describing: problem))"
                    )
                }
            }
        }
    }

    @Test func streamsThatAreNotThere() {
        #expect(LogProblem(StreamFacts(block: 0, mark: .start)) == nil)
        #expect(LogProblem(StreamFacts(block: 0, mark: LogMark(position: self.at(1), count: 1)))?.kind == .lost)
    }

    @Test func anotherLogWithMoreEntries() {
        // Entries 1 to 9, none of them at the place that was read.
        var facts = self.facts(read: 4, first: 1, added: 9)
        facts.hasEntry = false
        #expect(LogProblem(facts)?.kind == .lost)
    }

    @Test func entriesThatWereSkippedOrDeleted() {
        var facts = self.facts(read: 9, first: 7, added: 9)
        #expect(LogProblem(facts) == nil)
        facts = StreamFacts(block: 2, mark: LogMark(position: self.at(9), count: 6))
        facts.exists = true
        (facts.last, facts.first, facts.added, facts.length, facts.hasEntry) = (self.at(9), self.at(7), 9, 3, true)
        #expect(LogProblem(facts)?.kind == .trimmed)
        facts = self.facts(read: 4, first: 1, added: 9)
        facts.maxDeleted = self.at(6)
        #expect(LogProblem(facts)?.kind == .trimmed)
        facts.maxDeleted = self.at(2)
        #expect(LogProblem(facts) == nil)
    }
}
