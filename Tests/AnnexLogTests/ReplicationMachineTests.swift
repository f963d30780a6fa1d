import AnnexCore
import AnnexLog
import Testing

/// One machine, event by event.
@Suite struct ReplicationMachineTests {
    typealias Machine = ReplicationMachine<Int, String>

    /// A machine with what it asked for.
    struct Run {
        var machine: Machine
        var appends: [LogEntry<Int>] = []
        var read: (number: UInt64, from: [(block: Int, after: LogPosition)])?
        var check: (number: UInt64, marks: [(block: Int, mark: LogMark)])?
        var applies: [ApplyBatch<Int>] = []
        var acknowledged: [UInt64: LogPosition] = [:]
        var outcomes: [UInt64: String?] = [:]
        var refused: [UInt64: ReplicationRefusal] = [:]
        var now: Int64 = 0
        /// The log's.
        var identity: LogIdentity? = LogIdentity(high: 7, low: 7)
        var claims: [LogIdentity] = []
        var adopted: [LogIdentity] = []

        init(
            _ acknowledgement: LogAcknowledgement = .replica,
            marks: [LogMark] = [],
            follows: Bool = true,
            known: LogIdentity? = nil
        ) {
            var settings = ReplicationSettings()
            settings.acknowledgement = acknowledgement
            settings.pendingLimit = 3
            settings.readCount = 2
            self.machine = Machine(
                origin: .init(high: 1, low: 2),
                blocks: [0, 5],
                marks: marks,
                identity: known,
                settings: settings
            )
            guard follows else { return }
            self.send(.connected)
            self.answerCheck()
        }

        mutating func send(_ event: Machine.Event) {
            for action in self.machine.handle(event, at: self.now) {
                switch action {
                case .append(let entry): self.appends.append(entry)
                case .read(let number, let from): self.read = (number, from)
                case .check(let number, let marks): self.check = (number, marks)
                case .apply(let batch): self.applies.append(batch)
                case .claim(let identity): self.claims.append(identity)
                case .adopt(let identity): self.adopted.append(identity)
                case .acknowledge(let token, _, let position, let outcome):
                    #expect(self.acknowledged.updateValue(position, forKey: token) == nil && self.refused[token] == nil)
                    self.outcomes[token] = outcome
                case .refuse(let token, let reason):
                    #expect(self.refused.updateValue(reason, forKey: token) == nil && self.acknowledged[token] == nil)
                }
            }
        }

        mutating func answerCheck(_ change: (inout StreamFacts) -> Void = { _ in }) {
            guard let check else {
                Issue.record("no check")
                return
            }
            self.check = nil
            let facts = check.marks.map { block, mark in
                var facts = StreamFacts(block: block, mark: mark)
                facts.exists = mark.position > .start
                (facts.last, facts.first, facts.hasEntry) = (mark.position, mark.position, facts.exists)
                (facts.added, facts.length) = (mark.count, facts.exists ? 1 : 0)
                change(&facts)
                return facts
            }
            self.send(.checked(number: check.number, facts, log: self.identity))
        }

        mutating func answerRead(_ streams: [(block: Int, entries: [ReadEntry<Int>])]) {
            guard let read else {
                Issue.record("no read")
                return
            }
            self.read = nil
            self.send(.read(number: read.number, streams))
        }

        mutating func change(_ token: UInt64, block: Int = 5, needsOutcome: Bool = false, until: Int64? = nil) {
            self.send(.change(token: token, block: block, Int(token), needsOutcome: needsOutcome, until: until))
        }
    }

    private func at(_ number: UInt64) -> LogPosition { LogPosition(milliseconds: number, sequence: 0) }
    private func mark(_ number: UInt64) -> LogMark { LogMark(position: self.at(number), count: number) }

    @Test func aChangeIsAcknowledgedWhenItIsApplied() throws {
        var run = Run()
        run.change(1)
        let entry = try #require(run.appends.first)
        run.send(.appended(sequence: entry.key.sequence, self.at(7)))
        run.answerRead([(5, [ReadEntry(position: self.at(7), content: entry)])])
        #expect(run.acknowledged.isEmpty && run.applies.count == 1 && run.applies[0].after == .start)
        run.send(.applied(block: 5, self.mark(7), entry.key, "done"))
        #expect(run.acknowledged == [1: self.at(7)] && run.outcomes[1] == .some("done"))
    }

    /// No more is read while what was read holds as much as is allowed, and the log's end is known from a whole answer only.
    @Test func readingRestsWhileMuchIsNotApplied() throws {
        var run = Run()
        let limit = ReplicationSettings().unappliedBytesLimit
        func entry(_ number: UInt64) -> ReadEntry<Int> { ReadEntry(position: self.at(number), content: nil) }
        let first = try #require(run.read)
        run.read = nil
        run.send(.read(number: first.number, [(5, [entry(1)])], bytes: limit - 1, isWhole: false))
        let second = try #require(run.read, "there is room for one more answer")
        run.read = nil
        run.send(.read(number: second.number, [(0, [entry(2)]), (5, [entry(3)])], bytes: 1, isWhole: false))
        #expect(run.read == nil)
        run.now = 400
        run.send(.applied(block: 5, self.mark(1), nil, nil))
        let third = try #require(run.read, "the first answer is applied")
        run.read = nil
        run.now = 500
        run.send(.applied(block: 0, LogMark(position: self.at(2), count: 1), nil, nil))
        run.send(.applied(block: 5, LogMark(position: self.at(3), count: 2), nil, nil))
        #expect(
            run.machine.unappliedCount == 0 && run.machine.lag(at: 500) == 500,
            "no answer was whole since it connected"
        )
        run.send(.read(number: third.number, []))
        #expect(run.machine.lag(at: 500) == 100, "that read began at 400")
    }

    @Test func itIsAcknowledgedByTheLogWhereThatIsAsked() throws {
        var run = Run(.log)
        run.change(1)
        run.change(2, needsOutcome: true)
        for entry in run.appends { run.send(.appended(sequence: entry.key.sequence, self.at(entry.key.sequence + 6))) }
        #expect(run.acknowledged == [1: self.at(7)])
        run.answerRead([(5, run.appends.map { ReadEntry(position: self.at($0.key.sequence + 6), content: $0) })])
        run.send(.applied(block: 5, self.mark(8), run.appends[1].key, "gone"))
        #expect(run.acknowledged == [1: self.at(7), 2: self.at(8)] && run.outcomes[2] == .some("gone"))
    }

    // MARK: Which log it is

    private static let own = LogIdentity(high: 1, low: 2)
    private static let other = LogIdentity(high: 7, low: 7)

    @Test func theFirstGivesTheLogItsId() {
        var run = Run(follows: false)
        run.identity = nil
        run.send(.connected)
        run.answerCheck()
        // It asks whose it is before anything is taken.
        #expect(run.claims == [Self.own] && run.machine.phase == .checking && run.check != nil && run.adopted.isEmpty)
        run.change(1)
        #expect(run.refused[1]?.isStored == false)
        // Another was sooner.
        run.identity = Self.other
        run.answerCheck()
        #expect(run.machine.phase == .following && run.adopted == [Self.other] && run.claims.count == 1)
        run.now = 5_000
        run.send(.tick)
        run.answerCheck()
        #expect(run.machine.phase == .following && run.adopted == [Self.other], "once")
    }

    /// Where the log takes no id, it is asked for one now and then only.
    @Test func anIdThatTheLogDoesNotTake() {
        var run = Run(follows: false)
        run.identity = nil
        run.send(.connected)
        run.answerCheck()
        run.answerCheck()
        #expect(run.claims.count == 2 && run.check == nil)
        run.now = 999
        run.send(.tick)
        #expect(run.check == nil)
        run.now = 1_000
        run.send(.tick)
        #expect(run.check != nil)
    }

    @Test func anotherLogIsRefusedUntilItIsTheOwn() {
        var run = Run(marks: [self.mark(9)], follows: false, known: Self.own)
        run.send(.connected)
        // Its positions would do.
        run.answerCheck()
        guard case .refusing(let problem) = run.machine.phase else {
            Issue.record("\(run.machine.phase)")
            return
        }
        #expect(
            problem.kind == .other && problem.text.contains("\(Self.own)") && problem.text.contains("\(Self.other)")
        )
        #expect(run.machine.lag(at: 0) == nil && run.read == nil && run.adopted.isEmpty)
        run.change(1)
        #expect(run.refused[1] == .problem(problem) && run.appends.isEmpty)
        run.identity = Self.own
        run.now = 1_000
        run.send(.tick)
        run.answerCheck()
        #expect(run.machine.phase == .following && run.adopted.isEmpty)
    }

    @Test func aLogWithoutItsId() {
        // Nothing was read of it: it gets the same id again.
        var run = Run(follows: false, known: Self.other)
        run.identity = nil
        run.send(.connected)
        run.answerCheck()
        #expect(run.claims == [Self.other])
        // Something was: it is another, or was emptied.
        run = Run(marks: [self.mark(9)], follows: false, known: Self.other)
        run.identity = nil
        run.send(.connected)
        run.answerCheck()
        guard case .refusing(let problem) = run.machine.phase else {
            Issue.record("\(run.machine.phase)")
            return
        }
        #expect(problem.kind == .lost && run.claims.isEmpty)
    }

    /// A state of an older program takes the id that it finds, where its positions agree, and only there.
    @Test(arguments: [true, false]) func aStateWithoutAnId(_ agrees: Bool) {
        var run = Run(marks: [self.mark(9)], follows: false)
        run.send(.connected)
        run.answerCheck { if !agrees { $0.exists = false } }
        #expect((run.machine.phase == .following) == agrees)
        #expect(run.adopted == (agrees ? [Self.other] : []))
    }

    /// One that stands in the log behind its end counts nowhere: not where it was appended, whatever is acknowledged when, nor
    /// where it is only read.
    @Test(arguments: LogAcknowledgement.allCases, [true, false])
    func whatComesTooLateCountsNowhere(_ mode: LogAcknowledgement, _ answerComes: Bool) throws {
        var run = Run(mode)
        run.change(1, until: 6)
        run.change(2, needsOutcome: true, until: 6)
        run.change(3, until: 9)
        #expect(run.appends.map(\.until) == [6, 6, 9])
        if answerComes {
            for (index, entry) in run.appends.enumerated() {
                run.send(.appended(sequence: entry.key.sequence, self.at(UInt64(index) + 7)))
            }
        }
        let other = LogEntry(key: EntryKey(origin: .init(high: 9, low: 9), sequence: 1), block: 5, change: 8, until: 3)
        let entries = [other] + run.appends
        run.answerRead([
            (5, entries.prefix(2).enumerated().map { ReadEntry(position: self.at(UInt64($0) + 6), content: $1) })
        ])
        run.answerRead([
            (5, entries.suffix(2).enumerated().map { ReadEntry(position: self.at(UInt64($0) + 8), content: $1) })
        ])
        #expect(run.refused == [1: .expired(self.at(7)), 2: .expired(self.at(8))])
        #expect(run.refused.values.allSatisfy { $0.isStored == false })
        #expect(run.applies.flatMap(\.entries).map { $0.content?.change } == [nil, nil, nil, 3])
        #expect(run.machine.figures.expired == 3)
        run.send(.applied(block: 5, self.mark(9), run.appends[2].key, "done"))
        #expect(run.acknowledged == [3: self.at(9)])
    }

    /// The answer to XADD was lost; what is read back tells.
    @Test(arguments: LogAcknowledgement.allCases) func whatIsReadBackIsRecognised(_ mode: LogAcknowledgement) throws {
        var run = Run(mode)
        run.change(1)
        run.send(.disconnected("cut"))
        run.send(.connected)
        run.answerCheck()
        run.answerRead([(5, [ReadEntry(position: self.at(7), content: run.appends[0])])])
        run.send(.applied(block: 5, self.mark(7), run.appends[0].key, "done"))
        #expect(run.appends.count == 1 && run.acknowledged == [1: self.at(7)])
    }

    @Test func aReplicaThatIsCutOffRefusesAtOnce() {
        var run = Run(follows: false)
        run.change(1)
        run.send(.connected)
        run.change(2)
        run.answerCheck { $0.exists = false }
        run.change(3)
        run.send(.disconnected("cut"))
        run.change(4)
        #expect(run.appends.count == 1 && Set(run.refused.keys) == [1, 2, 4])
        #expect(run.refused.values.allSatisfy { $0.isStored == false })
        run.now = 1_999
        run.send(.tick)
        #expect(run.refused[3] == nil)
        run.now = 2_000
        run.send(.tick)
        #expect(run.refused[3] == .unanswered && run.machine.pendingCount == 0)
    }

    @Test func whatTheLogHasAndNobodyAppliedIsSaidToBeThere() {
        var run = Run()
        run.change(1)
        run.send(.appended(sequence: run.appends[0].key.sequence, self.at(7)))
        run.now = 2_000
        run.send(.tick)
        #expect(run.refused[1] == .notApplied(self.at(7)) && run.refused[1]?.isStored == true)
        // Applied later, it is nobody's any more.
        run.answerRead([(5, [ReadEntry(position: self.at(7), content: run.appends[0])])])
        run.send(.applied(block: 5, self.mark(7), run.appends[0].key, "done"))
        #expect(run.acknowledged.isEmpty)
    }

    @Test func whatTheLogRefusesIsNotStored() {
        var run = Run()
        run.change(1)
        run.send(.rejected(sequence: run.appends[0].key.sequence, "OOM"))
        #expect(run.refused[1] == .rejected("OOM") && run.machine.pendingCount == 0)
    }

    @Test func noMoreWaitThanTheLimit() {
        var run = Run()
        for token: UInt64 in 1...5 { run.change(token) }
        #expect(run.appends.count == 3 && run.refused == [4: .overloaded(3), 5: .overloaded(3)])
    }

    @Test func aLogThatLostDataIsNotFollowed() throws {
        var run = Run(marks: [.start, .start, .start, .start, .start, self.mark(9)], follows: false)
        run.send(.connected)
        run.answerCheck { $0.exists = false }
        run.change(1)
        #expect(run.appends.isEmpty && run.read == nil)
        if case .problem(let problem) = run.refused[1] {
            #expect(problem.kind == .lost)
        } else {
            Issue.record("\(run.refused)")
        }
        #expect(run.machine.lag(at: 5) == 5, "there is nothing that it lacks")
        // It is asked again, and goes on as soon as the log is there again.
        run.now = 1_000
        run.send(.tick)
        run.answerCheck()
        run.change(2)
        #expect(run.appends.count == 1 && run.read?.from.map(\.after) == [.start, self.at(9)])
    }

    @Test func aTrimmedLogIsNeverCaughtUpWith() {
        var run = Run(follows: false)
        run.send(.connected)
        run.answerCheck { facts in
            facts.exists = true
            (facts.added, facts.last) = (4, LogPosition(milliseconds: 4, sequence: 0))
        }
        run.change(1)
        if case .problem(let problem) = run.refused[1] {
            #expect(problem.kind == .trimmed)
        } else {
            Issue.record("\(run.refused)")
        }
        #expect(run.machine.lag(at: 0) == nil)
    }

    @Test func answersOfAConnectionThatIsGoneAreNotHeard() throws {
        var run = Run()
        let old = try #require(run.read)
        run.send(.disconnected("cut"))
        run.send(.connected)
        let stale = try #require(run.check)
        run.send(.disconnected("cut again"))
        run.send(.connected)
        run.send(.checked(number: stale.number, [], log: nil))
        #expect(run.machine.phase == .checking)
        run.answerCheck()
        run.send(.read(number: old.number, [(5, [ReadEntry(position: self.at(3), content: nil)])]))
        #expect(run.applies.isEmpty && run.read?.number != old.number)
    }

    /// What could not be stored is read again from where it was not, and nothing that was read behind it is kept.
    @Test func applyingThatFailsBeginsAgain() throws {
        var run = Run()
        run.answerRead([
            (5, [ReadEntry(position: self.at(1), content: nil), ReadEntry(position: self.at(2), content: nil)])
        ])
        let stale = try #require(run.read)
        run.send(.applied(block: 5, self.mark(1), nil, nil))
        run.send(.applyFailed(block: 5, "no space"))
        run.change(1)
        #expect(run.refused[1] == .cannotApply("no space"))
        run.now = 500
        run.send(.tick)
        #expect(run.machine.stallReason != nil, "a read is under way")
        run.send(.read(number: stale.number, [(5, [ReadEntry(position: self.at(3), content: nil)])]))
        #expect(run.applies.count == 1)
        run.read = nil
        run.answerCheck()
        #expect(run.read?.from.map(\.after) == [.start, self.at(1)])
        run.answerRead([(5, [ReadEntry(position: self.at(2), content: nil)])])
        #expect(run.applies.last?.after == self.at(1))
    }

    @Test func theLagCountsFromTheLastMomentOfKnowing() {
        var run = Run()
        run.now = 100
        run.answerRead([])
        #expect(run.machine.lag(at: 100) == 100, "as of the read's sending")
        run.now = 200
        // As many as were asked for: there may be more.
        run.answerRead([
            (5, [ReadEntry(position: self.at(1), content: nil), ReadEntry(position: self.at(2), content: nil)])
        ])
        run.now = 300
        run.answerRead([(5, [ReadEntry(position: self.at(3), content: nil)])])
        #expect(run.machine.lag(at: 300) == 300 && run.machine.unappliedCount == 3)
        for number: UInt64 in 1...3 { run.send(.applied(block: 5, self.mark(number), nil, nil)) }
        #expect(run.machine.lag(at: 300) == 100, "as of the sending of the read that saw the end")
    }
}
