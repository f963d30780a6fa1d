import AnnexCore
import AnnexServer
import AnnexTestSupport
import Testing

/// What one connection may do next: a test for each transition, and random walks for what no order of events may reach.
@Suite struct ConnectionStateMachineTests {
    @Test func aNewConnectionReadsAndParses() {
        let machine = ConnectionStateMachine()
        #expect(machine.mayParse && machine.mayRead && machine.isServing && machine.takesInput)
        #expect(!machine.isWaiting && !machine.isFinishing && !machine.isClosed && !machine.keepsRequest)
    }

    @Test func aWaitingConnectionGoesOnWhenItsRepliesWentOut() {
        var machine = ConnectionStateMachine()
        machine.waitForReplies()
        #expect(machine.isWaiting && !machine.mayParse && !machine.mayRead)
        machine.repliesWentOut()
        #expect(machine.isServing && machine.mayParse && machine.mayRead)
    }

    @Test func aReadThatWasHeldBackGoesOnOnce() {
        var machine = ConnectionStateMachine()
        machine.waitForReplies()
        let mayRead = machine.readWanted()
        #expect(!mayRead)
        machine.repliesWentOut()
        let goesOn = [machine.takeHeldRead(), machine.takeHeldRead()]
        #expect(goesOn == [true, false])
    }

    @Test func aClientThatTakesNoBytesIsNotServed() {
        var machine = ConnectionStateMachine()
        machine.outputIsBlocked()
        #expect(machine.isServing && !machine.mayParse && !machine.mayRead)
        let goesOn = [machine.outputDrained(), machine.outputDrained()]
        #expect(goesOn == [true, false] && machine.mayParse)
    }

    @Test func withinATurnTheTurnGoesOnByItself() {
        var machine = ConnectionStateMachine()
        machine.beginTurn()
        machine.outputIsBlocked()
        let goesOn = machine.outputDrained()
        #expect(!goesOn && machine.mayParse)
        machine.endTurn()
        machine.outputIsBlocked()
        let goesOnBetweenTurns = machine.outputDrained()
        #expect(goesOnBetweenTurns)
    }

    @Test func aConnectionThatYieldedResumesOnce() {
        var machine = ConnectionStateMachine()
        machine.beginTurn()
        machine.yield()
        #expect(!machine.mayParse && !machine.mayRead && machine.takesInput)
        machine.endTurn()
        #expect(machine.isServing == false, "the end of the turn does not end the yielding")
        let goesOn = [machine.resume(), machine.resume()]
        #expect(goesOn == [true, false] && machine.isServing)
    }

    @Test func aConnectionThatYieldedWaitsForItsClient() {
        var machine = ConnectionStateMachine()
        machine.yield()
        machine.outputIsBlocked()
        let goesOn = machine.resume()
        #expect(!goesOn && machine.isServing && !machine.mayParse)
    }

    @Test func endedInputIsAnsweredToTheEnd() {
        var machine = ConnectionStateMachine()
        machine.inputClosed()
        #expect(machine.mayParse && !machine.mayRead)
        machine.ranDry()
        #expect(machine.isFinishing == true)
    }

    @Test func inputThatIsReadNoMoreIsAnsweredToTheEnd() {
        var machine = ConnectionStateMachine()
        machine.stopReading(isQuiet: false)
        #expect(machine.mayParse && !machine.mayRead)
        machine.ranDry()
        #expect(machine.isFinishing == true)
    }

    @Test func inputThatGoesOnIsWaitedFor() {
        var machine = ConnectionStateMachine()
        machine.ranDry()
        #expect(machine.isServing && machine.mayRead)
    }

    @Test func aCommandRunsWhereNothingIsOwed() {
        var machine = ConnectionStateMachine()
        let isAdmitted = machine.admit(mayOvertake: false)
        #expect(isAdmitted && machine.isServing)
    }

    @Test func aProtocolErrorEndsTheConnection() {
        var machine = ConnectionStateMachine()
        let text = machine.fail("no protocol")
        #expect(text == "no protocol" && machine.isFinishing && !machine.takesInput)
    }

    @Test func aConnectionClosesBehindTheReplyThatItWaitsFor() {
        var machine = ConnectionStateMachine()
        machine.waitForReplies()
        machine.finishAfterReplies()
        #expect(machine.isWaiting && !machine.keepsRequest && !machine.isFinishing)
        machine.repliesWentOut()
        #expect(machine.isFinishing == true)
    }

    @Test func theCloseBeginsOnce() {
        var machine = ConnectionStateMachine()
        machine.finish()
        let begins = [machine.beginClosing(), machine.beginClosing()]
        machine.finish()
        let beginsAgain = machine.beginClosing()
        #expect(begins == [true, false] && !beginsAgain)
    }

    @Test func whatStillComesBehindTheLastReplyIsReadAndDropped() {
        var machine = ConnectionStateMachine()
        let before = machine.linger()
        machine.finish()
        let readsMeanwhile = machine.readWanted()
        let tooEarly = machine.linger()
        _ = machine.beginClosing()
        let lingers = [machine.linger(), machine.linger()]
        let readsOn = machine.takeHeldRead()
        #expect(!before && !readsMeanwhile && !tooEarly && lingers == [true, false])
        #expect(readsOn && machine.mayRead && !machine.takesInput && !machine.mayParse)
        machine.closed()
        #expect(machine.isClosed && !machine.mayRead)
    }

    @Test(arguments: [true, false]) func nothingIsAwaitedWhereNothingCanCome(isDraining: Bool) {
        var machine = ConnectionStateMachine()
        if isDraining { machine.stopReading(isQuiet: true) } else { machine.inputClosed() }
        machine.finish()
        _ = machine.beginClosing()
        let lingers = machine.linger()
        #expect(!lingers)
    }

    @Test func nothingHappensBehindTheEnd() {
        var machine = ConnectionStateMachine()
        machine.closed()
        for event in Self.events { event(&machine) }
        let goesOn = machine.resume() || machine.beginClosing() || machine.takeHeldRead()
        #expect(machine.isClosed && !goesOn && !machine.mayParse && !machine.mayRead && !machine.takesInput)
    }

    /// Everything that a channel, a handler or a timer may tell it, in any order.
    private static let events: [@Sendable (inout ConnectionStateMachine) -> Void] = [
        { $0.beginTurn() }, { $0.endTurn() }, { $0.yield() }, { _ = $0.resume() }, { $0.waitForReplies() },
        { $0.repliesWentOut() }, { $0.ranDry() }, { $0.outputIsBlocked() }, { _ = $0.outputDrained() },
        { _ = $0.readWanted() }, { _ = $0.takeHeldRead() }, { $0.inputClosed() }, { $0.stopReading(isQuiet: false) },
        { $0.stopReading(isQuiet: true) }, { $0.finish() },
        { $0.finishAfterReplies() }, { _ = $0.linger() },
    ]

    @Test func noOrderOfEventsReachesWhatMustNotBe() {
        var random = SeededRandom(seed: 31)
        var ended = 0
        for walk in 0..<5_000 {
            var machine = ConnectionStateMachine()
            var closes = 0
            for step in 0..<40 {
                let wasEnding = !machine.takesInput
                Self.events[Int.random(in: 0..<Self.events.count, using: &random)](&machine)
                let states = [
                    machine.isServing, machine.isWaiting, machine.isFinishing, machine.isLingering, machine.isClosed,
                ]
                let isSound =
                    states.filter { $0 }.count <= 1 && (!machine.mayRead || machine.mayParse || machine.isLingering)
                    && (!machine.mayParse || machine.isServing) && (!wasEnding || !machine.takesInput)
                // An expectation costs microseconds, and there are 200,000 of these.
                if !isSound { Issue.record("walk \(walk), step \(step): \(states), was ending \(wasEnding)") }
                closes += machine.beginClosing() ? 1 : 0
            }
            if closes > 1 { Issue.record("walk \(walk): closed \(closes) times") }
            ended += closes
        }
        #expect(ended > 1_000, "the walks reach the end")
    }
}
